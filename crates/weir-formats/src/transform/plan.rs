//! What a table's expressions need and in which order they are worked out.

use super::{complex::Flattening, conform::Conforming};
use crate::decoder::WHOLE_RECORD;
use std::{collections::BTreeMap, sync::Arc};
use weir_functions::{
    datum::Datum,
    expression::{Expression, ExpressionError},
};
use weir_types::{
    Classify, ColumnName, DataType, ErrorKind, ExceedStrategy, ExpressionFacts, Expressions, FieldKind, FieldSpec,
    NameError, Preparation, Retry, Schema, TransformSpec,
};

/// Expressions that no plan can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// One of them cannot be compiled.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// Columns are derived from one another in a circle.
    #[error("column '{column}' is derived from itself: {circle}; break the circle")]
    Circle {
        /// One of them.
        column: String,
        /// The columns in turn.
        circle: String,
    },
    /// A field that an expression reads cannot be a field.
    #[error("an expression reads a field that cannot be: {0}")]
    Field(#[from] NameError),
}

impl Classify for TransformError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// Where a column of the table comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The decoder fills it.
    Decoded,
    /// It is made of a slot.
    Made,
}

/// A column that is made here, of its slot.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) field: FieldSpec,
    pub(super) slot: usize,
}

/// An expression, and the slots that it reads.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) expression: Expression,
    pub(super) inputs: Vec<usize>,
}

/// What becomes of a slot.
#[derive(Debug)]
pub(super) enum Work {
    /// Its value is brought to the type of this field.
    Type {
        field: FieldSpec,
        /// Which of [`TransformPlan::holders`] is of the type.
        holder: usize,
    },
    /// It is what an expression gives.
    Expression {
        reading: Reading,
        /// The column holds single values: an array or object in the record is not its value.
        scalar: bool,
        /// It stands whatever the record brings.
        overwrites: bool,
    },
}

/// Something that is done to a slot.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: Arc<str>,
    pub(super) slot: usize,
    pub(super) work: Work,
}

impl Step {
    /// Whether it takes the place of what the record brings.
    pub(super) fn replaces(&self, found: Datum<'_>) -> bool {
        match self.work {
            Work::Type { .. } => true,
            Work::Expression { scalar, overwrites, .. } => {
                overwrites || (scalar && matches!(found, Datum::Json(_) | Datum::List(_)))
            }
        }
    }

    fn reads(&self, slot: usize) -> bool {
        matches!(&self.work, Work::Expression { reading, .. } if reading.inputs.contains(&slot))
    }
}

/// A table's expressions, compiled.
#[derive(Debug)]
pub struct TransformPlan {
    /// What the decoder fills: the columns that no expression names, then the raw fields, slot by slot.
    decode_schema: Arc<Schema>,
    /// How many columns come first.
    pub(super) direct: usize,
    /// How many fields come raw.
    raw: usize,
    /// Types that fields are brought to.
    pub(super) holders: Vec<DataType>,
    /// What is done to the raw fields, where they are made flat after that.
    pub(super) before: Vec<Step>,
    /// How the slots come of the raw fields, where they are not the same.
    pub(super) flattening: Option<Flattening>,
    /// In the order in which they are worked out.
    pub(super) steps: Vec<Step>,
    pub(super) filter: Option<Reading>,
    /// What becomes of fields that the schema does not name.
    pub(super) conforming: Option<Conforming>,
    pub(super) made: Vec<Made>,
    /// Of each column of the table.
    pub(super) origins: Vec<Origin>,
    pub(super) continue_on_error: bool,
}

/// The names that expressions read or write, each with its slot.
#[derive(Debug, Default)]
struct Slots {
    names: Vec<Arc<str>>,
    by_name: BTreeMap<Arc<str>, usize>,
}

impl Slots {
    fn of(&mut self, name: &str) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let (name, at): (Arc<str>, usize) = (name.into(), self.names.len());
        self.names.push(name.clone());
        self.by_name.insert(name, at);
        at
    }

    fn reads(&mut self, expression: &Expression) -> Vec<usize> {
        expression.fields().iter().map(|name| self.of(name)).collect()
    }

    fn step(
        &mut self,
        schema: &Schema,
        TransformSpec { column, function }: &TransformSpec,
        overwrites: bool,
    ) -> Result<Step, TransformError> {
        let expression = Expression::parse(function)?;
        let slot = self.of(column.as_str());
        let inputs = self.reads(&expression);
        let scalar = schema
            .field(column.as_str())
            .is_some_and(|field| field.single_value && !matches!(field.data_type, DataType::Json | DataType::Map));
        let work = Work::Expression { reading: Reading { expression, inputs }, scalar, overwrites };
        Ok(Step { name: column.as_str().into(), slot, work })
    }

    /// The steps of a preparation: types first, then enrichers in their order.
    fn prepare(
        &mut self,
        schema: &Schema,
        preparation: &Preparation,
        holders: &mut Vec<DataType>,
        steps: &mut Vec<Step>,
    ) -> Result<(), TransformError> {
        for source in &preparation.types {
            let field = FieldSpec {
                exceed: ExceedStrategy::NoAction,
                ..FieldSpec::new(source.field.clone(), source.data_type, FieldKind::Dimension)
            };
            let known = holders.iter().position(|data_type| *data_type == source.data_type);
            let holder = known.unwrap_or_else(|| {
                holders.push(source.data_type);
                holders.len() - 1
            });
            let (name, slot) = (source.field.as_str().into(), self.of(source.field.as_str()));
            steps.push(Step { name, slot, work: Work::Type { field, holder } });
        }
        for spec in &preparation.enrichments {
            steps.push(self.step(schema, spec, true)?);
        }
        Ok(())
    }
}

impl TransformPlan {
    /// A plan for a table's expressions; `None` where it has none.
    ///
    /// # Errors
    /// An expression cannot be compiled, or columns are derived in a circle.
    pub fn new(
        schema: &Schema,
        expressions: &Expressions,
        continue_on_error: bool,
    ) -> Result<Option<Self>, TransformError> {
        if expressions.is_empty() {
            return Ok(None);
        }
        let Expressions { before, complex_type, after, transforms, filter, conforming } = expressions;
        let (mut slots, mut raw_fields, mut holders) = (Slots::default(), Slots::default(), vec![]);
        let (mut steps, mut early) = (vec![], vec![]);
        if complex_type.is_some() {
            raw_fields.prepare(schema, before, &mut holders, &mut early)?;
        } else {
            slots.prepare(schema, before, &mut holders, &mut steps)?;
        }
        slots.prepare(schema, after, &mut holders, &mut steps)?;
        let derived = transforms.iter().map(|spec| slots.step(schema, spec, false)).collect::<Result<Vec<_>, _>>()?;
        let filter = filter.as_deref().map(|text| {
            let expression = Expression::parse(text)?;
            let inputs = slots.reads(&expression);
            Ok::<_, TransformError>(Reading { expression, inputs })
        });
        let filter = filter.transpose()?;
        steps.extend(in_order(derived)?);
        let conforming = conforming.as_ref().map(|spec| {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
            let derived = steps.iter().map(|step| step.slot).collect();
            let record = slots.of(WHOLE_RECORD);
            Conforming::new(spec, record, &names, &derived, &mut |name| slots.of(name))
        });
        if complex_type.is_some() {
            // Any column may be a part of a nested record.
            schema.fields().iter().for_each(|field| _ = slots.of(field.name.as_str()));
        }
        let flattening = complex_type.as_ref().map(|spec| Flattening::new(spec, &slots.names, raw_fields.names));
        let (mut made, mut origins, mut fields) = (vec![], vec![], vec![]);
        for field in schema.fields() {
            match slots.by_name.get(field.name.as_str()) {
                Some(slot) => {
                    made.push(Made { field: field.clone(), slot: *slot });
                    origins.push(Origin::Made);
                }
                None => {
                    fields.push(field.clone());
                    origins.push(Origin::Decoded);
                }
            }
        }
        let direct = fields.len();
        let raw = flattening.as_ref().map_or(&*slots.names, |flattening| flattening.tops());
        for name in raw {
            fields.push(FieldSpec::new(ColumnName::parse(name)?, DataType::Bytes, FieldKind::Dimension));
        }
        Ok(Some(Self {
            decode_schema: Arc::new(Schema::new(&schema.name, schema.version, fields)),
            direct,
            raw: raw.len(),
            holders,
            before: early,
            flattening,
            steps,
            filter,
            conforming,
            made,
            origins,
            continue_on_error,
        }))
    }

    /// The schema that the decoder fills, and how many fields at its end are raw.
    #[must_use]
    pub fn decodes(&self) -> (Arc<Schema>, usize) {
        (self.decode_schema.clone(), self.raw)
    }
}

/// Each step after those whose slots it reads, else as given.
fn in_order(steps: Vec<Step>) -> Result<Vec<Step>, TransformError> {
    let mut ordered: Vec<Step> = Vec::with_capacity(steps.len());
    let mut waiting = steps;
    while !waiting.is_empty() {
        let ready = waiting
            .iter()
            .position(|step| !waiting.iter().any(|other| other.slot != step.slot && step.reads(other.slot)));
        match ready {
            Some(at) => ordered.push(waiting.remove(at)),
            None => {
                let names: Vec<&str> = waiting.iter().map(|step| &*step.name).collect();
                return Err(TransformError::Circle { column: names[0].to_owned(), circle: names.join(", ") });
            }
        }
    }
    Ok(ordered)
}

/// What is known of an expression.
///
/// # Errors
/// It is none: why, and what would be right.
pub fn read_expression(text: &str) -> Result<ExpressionFacts, String> {
    let expression = Expression::parse(text).map_err(|error| error.to_string())?;
    let fields = expression.fields().iter().map(|name| name.to_string()).collect();
    Ok(ExpressionFacts { fields, never_a_truth: expression.never_a_truth() })
}
