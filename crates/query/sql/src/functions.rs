//! The functions that reach into log entries: `labels['name']`, `metadata['name']`, `field(line, 'name')` and
//! `number(text)`.
//!
//! Above a scan they are not called: the scan gives their results as columns ([`crate::leaf`]). What stands
//! here computes them where a query put something in between.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, MapArray, StringArray, StringDictionaryBuilder,
    UInt32Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExpressionPlacement, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::leaf::{map_type, text_of, text_type};
use crate::parse::LineParser;

/// The value of a name in labels or metadata; what `labels['name']` is read as.
pub(crate) const VALUE_OF: &str = "value_of";
/// A field of a JSON or logfmt line.
pub(crate) const FIELD: &str = "field";
/// A number in text.
pub(crate) const NUMBER: &str = "number";

/// The functions, to be registered with a session.
pub(crate) fn all() -> [Arc<ScalarUDF>; 3] {
    [value_of(), field(), number()]
}

/// `value_of(map, 'name')`.
pub(crate) fn value_of() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Inside::new(VALUE_OF))));
    UDF.clone()
}

fn field() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Inside::new(FIELD))));
    UDF.clone()
}

/// `number(text)`.
pub(crate) fn number() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Number { signature }))
    });
    UDF.clone()
}

/// The name a field has in parsed lines: what is not a letter, digit or underscore is an underscore.
pub(crate) fn field_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let digit = name.starts_with(|c: char| c.is_ascii_digit());
    let first = digit.then_some('_');
    first.into_iter().chain(name.chars().map(plain)).collect()
}

/// The number that a text is, if it is a finite one.
pub(crate) fn number_of(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// `value_of` and `field`: something by a constant name inside of a column.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Inside {
    name: &'static str,
    signature: Signature,
}

impl Inside {
    fn new(name: &'static str) -> Self {
        Inside { name, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Inside {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [of, Expr::Literal(name, _)] = args else {
            let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
            return Ok(format!("{}({})", self.name, args.join(", ")));
        };
        let (name, of) = (text_of(name).unwrap_or_default(), of.schema_name().to_string());
        // Two sides of a join keep their names apart.
        let column = of.strip_prefix("logs.").unwrap_or(&of);
        Ok(match self.name {
            VALUE_OF => format!("{column}['{name}']"),
            _ if column == "line" => format!("field('{name}')"),
            _ => format!("field({column}, '{name}')"),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.name, types) {
            (VALUE_OF, [of, _]) if *of == map_type() => Ok(text_type()),
            (FIELD, [of, name]) if is_text(of) && is_text(name) => Ok(text_type()),
            (FIELD, _) => plan_err!("field takes a line and a name, as in field(line, 'status')"),
            _ => plan_err!("value_of takes labels or metadata and a name: write labels['name']"),
        }
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        use ExpressionPlacement::{Column, KeepInPlace, Literal, MoveTowardsLeafNodes};
        match args {
            [Column | MoveTowardsLeafNodes, Literal] => MoveTowardsLeafNodes,
            _ => KeepInPlace,
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [of, name] = args.args.as_slice() else {
            return exec_err!("{} takes two arguments", self.name);
        };
        let ColumnarValue::Scalar(name) = name else {
            return exec_err!("the name in {} must be a constant", self.name);
        };
        let Some(name) = text_of(name) else {
            return exec_err!("the name in {} must be text", self.name);
        };
        let of = of.to_array(args.number_rows)?;
        let values: ArrayRef = match (self.name, of.as_map_opt()) {
            (VALUE_OF, Some(map)) => Arc::new(values_of(map, &name)),
            (VALUE_OF, None) => return exec_err!("labels['name'] is for labels and metadata"),
            _ => {
                let lines = cast(&of, &DataType::Utf8)?;
                Arc::new(fields_of(lines.as_string(), &field_name(&name)))
            }
        };
        Ok(ColumnarValue::Array(values))
    }
}

/// The value of a name in each map.
fn values_of(map: &MapArray, name: &str) -> DictionaryArray<UInt32Type> {
    let keys = map.keys().as_string::<i32>();
    let values = map.values().as_string::<i32>();
    let mut out = StringDictionaryBuilder::<UInt32Type>::new();
    for (row, ends) in map.value_offsets().windows(2).enumerate() {
        let &[start, end] = ends else { continue };
        let mut pairs = start as usize..end as usize;
        match pairs.find(|pair| map.is_valid(row) && keys.value(*pair) == name) {
            Some(pair) => out.append_value(values.value(pair)),
            None => out.append_null(),
        }
    }
    out.finish()
}

/// A field of each line.
fn fields_of(lines: &StringArray, name: &str) -> DictionaryArray<UInt32Type> {
    let parser = LineParser::new([name.into()]);
    let mut reader = parser.reader();
    let mut out = StringDictionaryBuilder::<UInt32Type>::new();
    for line in lines {
        match line.and_then(|line| reader.read(line).get(name)) {
            Some(value) => out.append_value(value),
            None => out.append_null(),
        }
    }
    out.finish()
}

/// `number`: text that is a number.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Number {
    signature: Signature,
}

impl ScalarUDFImpl for Number {
    fn name(&self) -> &str {
        NUMBER
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [text] if is_text(text) || text.is_numeric() || text.is_null() => Ok(DataType::Float64),
            _ => plan_err!("number takes text, as in number(field('duration'))"),
        }
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        match args {
            [ExpressionPlacement::MoveTowardsLeafNodes] => ExpressionPlacement::MoveTowardsLeafNodes,
            _ => ExpressionPlacement::KeepInPlace,
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(text) = args.args.first() else {
            return exec_err!("number takes one argument");
        };
        let text = text.to_array(args.number_rows)?;
        if text.data_type().is_numeric() {
            return Ok(ColumnarValue::Array(cast(&text, &DataType::Float64)?));
        }
        let numbers = match text.as_dictionary_opt::<UInt32Type>() {
            Some(dictionary) => {
                let values = numbers_of(&cast(dictionary.values(), &DataType::Utf8)?);
                by_codes(dictionary.keys(), &values)
            }
            None => numbers_of(&cast(&text, &DataType::Utf8)?),
        };
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}

/// Whether a type is text, also where values repeat.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string(),
    }
}

fn numbers_of(text: &ArrayRef) -> Float64Array {
    text.as_string::<i32>().iter().map(|text| number_of(text?)).collect()
}

fn by_codes(codes: &UInt32Array, values: &Float64Array) -> Float64Array {
    let table: Vec<Option<f64>> = values.iter().collect();
    codes.iter().map(|code| table.get(code? as usize).copied().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_decimals() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![
            Some("12.5"),
            Some(" 7 "),
            Some("1e3"),
            Some("NaN"),
            Some("inf"),
            Some("5ms"),
            None,
        ]));
        let numbers: Vec<Option<f64>> = numbers_of(&text).iter().collect();
        assert_eq!(numbers, [Some(12.5), Some(7.0), Some(1000.0), None, None, None, None]);
    }

    #[test]
    fn fields_are_asked_for_by_any_of_their_names() {
        assert_eq!(field_name("http.status"), "http_status");
        assert_eq!(field_name("5xx"), "_5xx");
        assert_eq!(field_name("status"), "status");
    }
}
