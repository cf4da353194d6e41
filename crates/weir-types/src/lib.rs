//! The nouns of Weir: names, offsets, schemas, values, row batches, validated table specs and error kinds.
//!
//! Nothing here waits, reads a clock or touches a disk, and nothing is serialisable: what goes over a wire or into a
//! file is spelled out where the bytes are. A type belongs here once two floors of the house speak it.

pub mod accounting;
pub mod batch;
pub mod error;
pub mod message_field;
pub mod names;
pub mod offset;
pub mod schema;
pub mod secret;
pub mod table_spec;
pub mod value;

pub use accounting::{Accounting, FilterReason};
pub use batch::{BytesColumn, Column, ColumnData, RowBatch};
pub use error::{Classify, ErrorKind, Retry};
pub use message_field::MessageField;
pub use names::{ColumnName, NameError, SegmentName, StreamPartition, TableKind, TableName, TopicName};
pub use offset::{NextOffset, OffsetRange, RangeError, Skip, SkipReason};
pub use schema::{DataType, ExceedStrategy, FieldKind, FieldSpec, Schema, SchemaVersion, Stored};
pub use table_spec::{
    AutoReset, ComplexTypeSpec, ConformingSpec, ErrorPolicy, ExpressionFacts, Expressions, FieldIndexes, FlushPolicy,
    IndexKind, MergedTextSpec, NodeLimit, NotUnnested, PartitionFunction, PartitionedBy, Preparation, QuarantineSpec,
    RateLimit, RetentionSpec, RowsThreshold, SourceType, StartAt, StreamSpec, TableSpec, TopicPattern, TransformSpec,
};
pub use value::Value;
