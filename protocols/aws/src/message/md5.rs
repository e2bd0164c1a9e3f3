//! The MD5 sums by which SDKs check that what they sent has arrived, and what they received is whole.

use md5::{Digest, Md5};

use super::{Attribute, Value};
use crate::sqs::ascii::{self, Ascii};

/// An MD5 sum.
pub(crate) type Sum = [u8; 16];

/// Of a body.
pub(crate) fn of_body(body: &[u8]) -> Sum {
    Md5::digest(body).into()
}

/// Of attributes: in the order of their names, each with its name, type, kind of value and value, lengths before them.
/// None where there are none: then nothing is said of them.
pub(crate) fn of_attributes<'a, I>(attributes: I) -> Option<Sum>
where
    I: IntoIterator<Item = Attribute<'a>>,
{
    let mut sorted: smallvec::SmallVec<[Attribute<'a>; 10]> = attributes.into_iter().collect();
    if sorted.is_empty() {
        return None;
    }
    sorted.sort_unstable_by_key(|attribute| attribute.name);
    let mut sum = Md5::new();
    for attribute in &sorted {
        put(&mut sum, attribute.name.as_bytes());
        put(&mut sum, attribute.data_type.as_bytes());
        let (kind, bytes) = match attribute.value {
            Value::Text(text) => (1, text.as_bytes()),
            Value::Binary(bytes) => (2, bytes),
        };
        sum.update([kind]);
        put(&mut sum, bytes);
    }
    Some(sum.finalize().into())
}

fn put(sum: &mut Md5, bytes: &[u8]) {
    sum.update((bytes.len() as u32).to_be_bytes());
    sum.update(bytes);
}

/// A sum in hexadecimal digits.
pub(crate) fn hex(sum: &Sum) -> Ascii<32> {
    ascii::hex(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(name: &'a str, data_type: &'a str, value: &'a str) -> Attribute<'a> {
        Attribute { name, data_type, value: Value::Text(value) }
    }

    fn sum(attributes: &[Attribute<'_>]) -> String {
        hex(&of_attributes(attributes.iter().copied()).unwrap()).to_string()
    }

    #[test]
    fn sums_are_those_that_aws_gives() {
        assert_eq!(&*hex(&of_body(b"msg")), "6e2baaf3b97dbeef01c0043275f9a0e7");
        let (general, hello) = (text("General", "String", "Kenobi"), text("Hello", "String", "There"));
        let help = text("Help.Me", "String", "Me");
        assert_eq!(sum(&[general, hello, help]), "4c360f3fdafd970e05fae2f149d997f5");
        assert_eq!(sum(&[help, general, hello]), "4c360f3fdafd970e05fae2f149d997f5", "their order does not matter");
        assert_eq!(sum(&[general, hello]), "fca026605781cb4126a1e9044df24232");
        assert_eq!(sum(&[hello]), "a311262e065454b75da111d535b8dacd");
        assert_eq!(sum(&[hello, help]), "83fee93c1bcd8b9a5a923ffacdc636c7");
        assert_eq!(sum(&[text("Foo", "String", "Bar")]), "ae7155c6026991b6d54b11589678bf9c");
        let binary = b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01";
        let binary = Attribute { name: "attr1", data_type: "Binary", value: Value::Binary(binary) };
        assert_eq!(sum(&[binary]), "8cbe4db156db8a94db8b801b7addb984");
        let number = text("UserId", "Number.bigint", "1234567890123456789012");
        assert_eq!(sum(&[number]), "797ab158d73dcb5242dedc4412c8e855");
        assert_eq!(sum(&[text("AWSTraceHeader", "String", "some-trace-id")]), "fdce4f2818803f2f73becc09a54792c0");
        assert_eq!(of_attributes([]), None);
    }
}
