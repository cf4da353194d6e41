//! What a table's expressions need and in which order they are worked out.

use super::complex::Flattening;
use std::{collections::BTreeMap, sync::Arc};
use weir_functions::{
    datum::Datum,
    expression::{Expression, ExpressionError},
};
use weir_types::{
    Classify, ColumnName, DataType, ErrorKind, Expressions, FieldKind, FieldSpec, NameError, Retry, Schema,
    TransformSpec,
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

/// An expression that fills a slot.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: Arc<str>,
    pub(super) slot: usize,
    pub(super) expression: Expression,
    pub(super) inputs: Vec<usize>,
    /// The column holds single values: an array or object in the record is not its value.
    scalar: bool,
    /// It stands whatever the record brings.
    overwrites: bool,
}

impl Step {
    /// Whether the expression takes the place of what the record brings.
    pub(super) fn replaces(&self, found: Datum<'_>) -> bool {
        self.overwrites || (self.scalar && matches!(found, Datum::Json(_) | Datum::List(_)))
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
    /// How the slots come of the raw fields, where they are not the same.
    pub(super) flattening: Option<Flattening>,
    /// In the order in which they are worked out.
    pub(super) steps: Vec<Step>,
    pub(super) filter: Option<Reading>,
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
        let Expressions { complex_type, enrichments, transforms, filter } = expressions;
        if complex_type.is_none() && enrichments.is_empty() && transforms.is_empty() && filter.is_none() {
            return Ok(None);
        }
        let mut slots = Slots::default();
        let mut step = |TransformSpec { column, function }: &TransformSpec, overwrites: bool| {
            let expression = Expression::parse(function)?;
            let slot = slots.of(column.as_str());
            let inputs = slots.reads(&expression);
            let scalar = schema
                .field(column.as_str())
                .is_some_and(|field| field.single_value && !matches!(field.data_type, DataType::Json | DataType::Map));
            Ok::<_, TransformError>(Step { name: column.as_str().into(), slot, expression, inputs, scalar, overwrites })
        };
        let mut steps = enrichments.iter().map(|spec| step(spec, true)).collect::<Result<Vec<_>, _>>()?;
        let derived = transforms.iter().map(|spec| step(spec, false)).collect::<Result<Vec<_>, _>>()?;
        let filter = filter.as_deref().map(|text| {
            let expression = Expression::parse(text)?;
            let inputs = slots.reads(&expression);
            Ok::<_, TransformError>(Reading { expression, inputs })
        });
        let filter = filter.transpose()?;
        steps.extend(in_order(derived)?);
        if complex_type.is_some() {
            // Any column may be a part of a nested record.
            schema.fields().iter().for_each(|field| _ = slots.of(field.name.as_str()));
        }
        let flattening = complex_type.as_ref().map(|spec| Flattening::new(spec, &slots.names));
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
            flattening,
            steps,
            filter,
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
            .position(|step| !waiting.iter().any(|other| other.slot != step.slot && step.inputs.contains(&other.slot)));
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

/// The fields that an expression reads.
///
/// # Errors
/// It is none: why, and what would be right.
pub fn fields_of(text: &str) -> Result<Vec<String>, String> {
    let expression = Expression::parse(text).map_err(|error| error.to_string())?;
    Ok(expression.fields().iter().map(|name| name.to_string()).collect())
}
