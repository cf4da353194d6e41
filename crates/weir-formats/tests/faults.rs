//! A function that panics costs the records that it is called for, and nothing else. A process of its own: functions are
//! added before any is used.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{collections::BTreeMap, sync::Arc};
use weir_formats::{
    DecodeSpec, Payload, Stage, registry,
    transform::{Transform, TransformPlan, Transformed},
};
use weir_functions::shelf::{self, Body, Function, Gives};
use weir_types::{
    ColumnName, DataType, Expressions, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion, TransformSpec, Value,
};

fn add_what_panics() {
    let body = Body::Plain(|args, _| match args[0].long()? {
        13 => panic!("not {}", 13),
        _ => Ok(args[0]),
    });
    let (names, gives) = (&["unlucky"][..], Gives::Number);
    shelf::add(vec![Function { names, least: 1, most: 1, nulls: false, gives, body }]).unwrap();
}

fn run(transform: &mut Transform, plan: &TransformPlan, records: &[&str]) -> Transformed {
    let (schema, raw) = plan.decodes();
    let spec = DecodeSpec { schema: schema.clone(), continue_on_error: false, topic: "t".into(), raw };
    let mut decoder = registry::decoder("json", &BTreeMap::new(), spec).unwrap();
    let mut rows = RowBatch::new(&schema);
    let mut payloads =
        (0..).zip(records).map(|(message, value)| Payload { message, value: value.as_bytes(), key: None });
    assert!(decoder.decode(&mut payloads, &mut rows).rejects.is_empty());
    transform.apply(rows)
}

fn longs(transformed: &Transformed, at: usize) -> Vec<Option<Value>> {
    let column = &transformed.rows.columns[at];
    let null = |row: usize| column.nulls.contains(&u32::try_from(row).unwrap());
    (0..column.rows()).map(|row| (!null(row)).then(|| column.data.get(row))).collect()
}

#[test]
fn a_panic_is_the_fault_of_its_record_alone() {
    add_what_panics();
    let field = |name| FieldSpec::new(ColumnName::parse(name).unwrap(), DataType::Long, FieldKind::Dimension);
    let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![field("id"), field("made")]));
    let made = TransformSpec { column: ColumnName::parse("made").unwrap(), function: "unlucky(id) + 1".into() };
    let derived = Expressions { transforms: vec![made], ..Expressions::default() };
    let filtered = Expressions { filter: Some("unlucky(id) = 2".into()), ..Expressions::default() };
    let records = [r#"{"id":1}"#, r#"{"id":13}"#, r#"{"id":2}"#, r#"{"id":13}"#, r#"{"id":3}"#];
    let long = |number| Some(Value::Long(number));

    let plan = Arc::new(TransformPlan::new(&schema, &derived, false).unwrap().unwrap());
    let mut transform = Transform::new(plan.clone());
    // A batch with it, then one without, then one with it again: nothing of the first is left.
    for _ in 0..2 {
        let done = run(&mut transform, &plan, &records);
        assert_eq!(longs(&done, 1), [long(2), long(3), long(4)]);
        let rejects: Vec<_> = done.rejects.iter().map(|reject| (reject.message, reject.stage)).collect();
        assert_eq!(rejects, [(1, Stage::Transform), (3, Stage::Transform)]);
        assert_eq!(done.rejects[0].column.as_deref(), Some("made"));
        assert!(done.rejects[0].reason.contains("a fault of ours in unlucky: not 13"), "{:?}", done.rejects);
        let done = run(&mut transform, &plan, &records[..1]);
        assert_eq!((longs(&done, 1), done.rejects.len()), (vec![long(2)], 0));
    }

    let plan = Arc::new(TransformPlan::new(&schema, &filtered, false).unwrap().unwrap());
    let done = run(&mut Transform::new(plan.clone()), &plan, &records);
    assert_eq!((longs(&done, 0), done.filtered), (vec![long(1), long(3)], 1));
    assert_eq!((done.rejects.len(), done.rejects[1].message, done.rejects[1].stage), (2, 3, Stage::Filter));
    assert!(done.rejects[1].reason.contains("a fault of ours in unlucky: not 13"), "{:?}", done.rejects);

    // Who asked for nulls in place of what cannot be worked out gets them.
    let plan = Arc::new(TransformPlan::new(&schema, &derived, true).unwrap().unwrap());
    let done = run(&mut Transform::new(plan.clone()), &plan, &records);
    assert_eq!(longs(&done, 1), [long(2), None, long(3), None, long(4)]);
    assert_eq!((done.altered, done.rejects.len()), (2, 0));
}
