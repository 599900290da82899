//! What a scan can give as a column: the columns of the table, and values inside of them by name.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::expressions::{CastExpr, Column, Literal};
use novaobs_model::logs::{Field as LogField, FieldSource, LineWanted, LogColumns};

use crate::functions;

/// A column that a scan gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Leaf {
    /// `timestamp`
    Timestamp,
    /// `line`
    Line,
    /// `labels`
    Labels,
    /// `metadata`
    Metadata,
    /// `labels['name']`
    Label(Arc<str>),
    /// `metadata['name']`
    Pair(Arc<str>),
    /// `field(line, 'name')`
    Field(Arc<str>),
    /// `number(…)` of one of the three before
    Number(Box<Leaf>),
}

/// Text whose values repeat.
pub(crate) fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// Names and values.
pub(crate) fn map_type() -> DataType {
    let key = Field::new("keys", DataType::Utf8, false);
    let value = Field::new("values", DataType::Utf8, true);
    let entries = Field::new("entries", DataType::Struct(vec![key, value].into()), false);
    DataType::Map(Arc::new(entries), false)
}

/// The columns of the table `logs`, in order.
pub(crate) const TABLE: [Leaf; 4] = [Leaf::Timestamp, Leaf::Line, Leaf::Labels, Leaf::Metadata];

/// The schema of the table `logs`.
pub(crate) fn table_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let names = ["timestamp", "line", "labels", "metadata"];
        let field = |(leaf, name): (&Leaf, &str)| Field::new(name, leaf.data_type(), false);
        Arc::new(Schema::new(TABLE.iter().zip(names).map(field).collect::<Vec<_>>()))
    });
    SCHEMA.clone()
}

impl Leaf {
    /// Its type.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Leaf::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Leaf::Line => DataType::Utf8,
            Leaf::Labels | Leaf::Metadata => map_type(),
            Leaf::Label(_) | Leaf::Pair(_) | Leaf::Field(_) => text_type(),
            Leaf::Number(_) => DataType::Float64,
        }
    }

    /// Whether rows may lack it.
    pub(crate) fn nullable(&self) -> bool {
        !TABLE.contains(self)
    }

    /// What of the columns `input` a physical expression asks for, if a scan can give it.
    pub(crate) fn of(expr: &Arc<dyn PhysicalExpr>, input: &[Leaf]) -> Option<Leaf> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            return input.get(column.index()).cloned();
        }
        if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            // A cast to the type it has already.
            return Leaf::of(cast.expr(), input).filter(|leaf| leaf.data_type() == *cast.cast_type());
        }
        let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
        match (call.fun().name(), call.args()) {
            (functions::NUMBER, [inner]) => {
                let inner = Leaf::of(inner, input)?;
                let text = matches!(inner, Leaf::Label(_) | Leaf::Pair(_) | Leaf::Field(_));
                text.then(|| Leaf::Number(Box::new(inner)))
            }
            (functions::VALUE_OF | functions::FIELD, [of, name]) => {
                let name = text_of(name.downcast_ref::<Literal>()?.value())?;
                Leaf::of(of, input)?.inside(call.fun().name(), &name)
            }
            _ => None,
        }
    }

    /// What a function asks for inside of this column.
    pub(crate) fn inside(self, function: &str, name: &str) -> Option<Leaf> {
        match (function, self) {
            (functions::VALUE_OF, Leaf::Labels) => Some(Leaf::Label(name.into())),
            (functions::VALUE_OF, Leaf::Metadata) => Some(Leaf::Pair(name.into())),
            (functions::FIELD, Leaf::Line) => Some(Leaf::Field(functions::field_name(name).into())),
            _ => None,
        }
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Leaf::Timestamp => f.write_str("timestamp"),
            Leaf::Line => f.write_str("line"),
            Leaf::Labels => f.write_str("labels"),
            Leaf::Metadata => f.write_str("metadata"),
            Leaf::Label(name) => write!(f, "labels['{name}']"),
            Leaf::Pair(name) => write!(f, "metadata['{name}']"),
            Leaf::Field(name) => write!(f, "field('{name}')"),
            Leaf::Number(leaf) => write!(f, "number({leaf})"),
        }
    }
}

/// The text of a literal.
pub(crate) fn text_of(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Dictionary(_, inner) => text_of(inner),
        other => other.try_as_str().flatten().map(str::to_owned),
    }
}

/// Which columns of the store a set of leaves needs.
pub(crate) fn wanted(leaves: &[Leaf]) -> LogColumns {
    let mut columns = LogColumns::default();
    for leaf in leaves {
        let leaf = match leaf {
            Leaf::Number(inner) => inner,
            other => other,
        };
        let mut add = |source, name: &Arc<str>| {
            let field = LogField { source, name: name.clone() };
            if !columns.fields.contains(&field) {
                columns.fields.push(field);
            }
        };
        match leaf {
            Leaf::Timestamp | Leaf::Labels | Leaf::Label(_) | Leaf::Number(_) => {}
            Leaf::Line => columns.line = LineWanted::Always,
            Leaf::Metadata => columns.metadata = true,
            Leaf::Pair(name) => add(FieldSource::Metadata, name),
            Leaf::Field(name) => {
                add(FieldSource::Json, name);
                add(FieldSource::Logfmt, name);
                if columns.line == LineWanted::Never {
                    columns.line = LineWanted::Unless(FieldSource::Json);
                }
            }
        }
    }
    columns
}
