//! CBOR bodies as JSON values, and JSON values as CBOR bodies.
//!
//! CloudWatch's SDK speaks `smithy rpc-v2-cbor`. The emulator understands it; the router must read namespaces and alarm names from
//! it to judge a call, and answer errors in it. Timestamps lose their tag and become numbers: nothing here needs them.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder, decode};
use serde_json::{Map, Value};

pub(crate) fn to_json(body: &[u8]) -> Result<Value, decode::Error> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    value(&mut Decoder::new(body))
}

fn value(decoder: &mut Decoder<'_>) -> Result<Value, decode::Error> {
    Ok(match decoder.datatype()? {
        Type::Bool => Value::Bool(decoder.bool()?),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::from(decoder.u64()?),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => Value::from(decoder.i64()?),
        Type::F16 => Value::from(decoder.f16()?),
        Type::F32 => Value::from(decoder.f32()?),
        Type::F64 => Value::from(decoder.f64()?),
        Type::String | Type::StringIndef => Value::String(text(decoder)?),
        Type::Array | Type::ArrayIndef => Value::Array(array(decoder)?),
        Type::Map | Type::MapIndef => Value::Object(map(decoder)?),
        Type::Tag => {
            decoder.tag()?;
            value(decoder)?
        }
        _ => {
            decoder.skip()?;
            Value::Null
        }
    })
}

fn text(decoder: &mut Decoder<'_>) -> Result<String, decode::Error> {
    decoder.str_iter()?.collect()
}

fn array(decoder: &mut Decoder<'_>) -> Result<Vec<Value>, decode::Error> {
    let length = decoder.array()?;
    let mut items = Vec::new();
    while more(decoder, length, items.len())? {
        items.push(value(decoder)?);
    }
    Ok(items)
}

fn map(decoder: &mut Decoder<'_>) -> Result<Map<String, Value>, decode::Error> {
    let length = decoder.map()?;
    let mut items = Map::new();
    let mut read = 0;
    while more(decoder, length, read)? {
        let key = text(decoder)?;
        items.insert(key, value(decoder)?);
        read += 1;
    }
    Ok(items)
}

/// A container of unknown length ends with a break.
fn more(decoder: &mut Decoder<'_>, length: Option<u64>, read: usize) -> Result<bool, decode::Error> {
    match length {
        Some(length) => Ok((read as u64) < length),
        None if decoder.datatype()? == Type::Break => decoder.skip().map(|()| false),
        None => Ok(true),
    }
}

pub(crate) fn from_json(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    // Writing into a vector has no way to fail.
    let _: Result<(), _> = write(&mut Encoder::new(&mut body), value);
    body
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(encoder: &mut Encoder<&mut Vec<u8>>, value: &Value) -> Written {
    match value {
        Value::Null => encoder.null()?.ok(),
        Value::Bool(flag) => encoder.bool(*flag)?.ok(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => encoder.u64(whole)?.ok(),
            (None, Some(whole)) => encoder.i64(whole)?.ok(),
            (None, None) => encoder.f64(number.as_f64().unwrap_or_default())?.ok(),
        },
        Value::String(text) => encoder.str(text)?.ok(),
        Value::Array(items) => {
            encoder.array(items.len() as u64)?;
            items.iter().try_for_each(|item| write(encoder, item))
        }
        Value::Object(items) => {
            encoder.map(items.len() as u64)?;
            items.iter().try_for_each(|(key, item)| {
                encoder.str(key)?;
                write(encoder, item)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_way_there_and_back() {
        let value = serde_json::json!({"Namespace": "Relight", "MetricData": [{"Value": 1.5, "Count": -3, "On": true}], "Nothing": null});
        assert_eq!(to_json(&from_json(&value)).unwrap(), value);
    }

    #[test]
    fn containers_and_strings_of_unknown_length_and_tags_are_read() {
        // {_ "a": [_ 1, 1(2)], "b": (_ "x", "y")}
        let body = [0xbf, 0x61, b'a', 0x9f, 0x01, 0xc1, 0x02, 0xff, 0x61, b'b', 0x7f, 0x61, b'x', 0x61, b'y', 0xff, 0xff];
        assert_eq!(to_json(&body).unwrap(), serde_json::json!({"a": [1, 2], "b": "xy"}));
    }

    #[test]
    fn a_cut_body_is_an_error() {
        assert!(to_json(&[0xa1, 0x61]).is_err());
    }
}
