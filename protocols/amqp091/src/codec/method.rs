//! What all methods have in common. The table in [`methods`](super::methods) says which there are.

use super::error::{Octets, ReplyCode, Snippet};
use super::wire::WireError;
use std::fmt;

/// Why a method cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// The payload is too short to hold class and method id.
    #[error("type 1, {payload}: unknown_frame")]
    NoIds {
        /// The payload.
        payload: Snippet,
    },
    /// No method has these ids. RabbitMQ drops the connection without a word.
    #[error("unimplemented method")]
    Unknown {
        /// The class id.
        class_id: u16,
        /// The method id.
        method_id: u16,
    },
    /// The fields end too early, or bytes are left behind them.
    #[error("cannot decode {fields}")]
    Malformed {
        /// The class id.
        class_id: u16,
        /// The method id.
        method_id: u16,
        /// The first bytes of the fields.
        fields: FieldsSnippet,
    },
    /// A name is not UTF-8.
    #[error("Malformed UTF-8 in shortstr")]
    NotUtf8,
}

impl MethodError {
    /// The code to close the connection with.
    pub const fn reply_code(&self) -> ReplyCode {
        match self {
            MethodError::Unknown { .. } => ReplyCode::CommandInvalid,
            _ => ReplyCode::FrameError,
        }
    }

    /// Class and method id to name in connection.close.
    pub const fn method_ids(&self) -> (u16, u16) {
        match *self {
            MethodError::Unknown { class_id, method_id } | MethodError::Malformed { class_id, method_id, .. } => {
                (class_id, method_id)
            }
            MethodError::NoIds { .. } | MethodError::NotUtf8 => (0, 0),
        }
    }

    #[cold]
    pub(crate) fn of_fields(error: WireError, class_id: u16, method_id: u16, fields: &[u8]) -> MethodError {
        match error {
            WireError::Short => MethodError::Malformed { class_id, method_id, fields: FieldsSnippet::of(fields) },
            WireError::NotUtf8 => MethodError::NotUtf8,
        }
    }
}

/// As many of a method's bytes as a reply text could show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldsSnippet(Box<[u8]>);

impl FieldsSnippet {
    /// Two characters are the least that a byte takes in a text of at most 255.
    const BYTES_MAX: usize = 128;

    fn of(fields: &[u8]) -> FieldsSnippet {
        FieldsSnippet(fields[..fields.len().min(FieldsSnippet::BYTES_MAX)].into())
    }
}

impl fmt::Display for FieldsSnippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Octets { bytes: &self.0, as_text: false }.fmt(f)
    }
}

/// Makes from a table of methods one struct for each, [`Method`](super::Method) over all of them, and their codec.
///
/// A field's wire type follows from its Rust type: integers, `bool` (a bit that shares an octet with its
/// neighbours), `ShortStr` (a short string of any bytes), `ShortText` (one that must be UTF-8), `LongStr`, `RawTable`.
macro_rules! methods {
    ($(
        $(#[$doc:meta])*
        $class_id:literal $method_id:literal $name:literal $(+ $content:ident)?
        $method:ident $(<$life:lifetime>)? { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            pub struct $method $(<$life>)? {
                $($(#[$field_doc])* pub $field: $type,)*
            }

            impl $(<$life>)? $method $(<$life>)? {
                /// The id of the class.
                pub const CLASS_ID: u16 = $class_id;
                /// The id of the method within its class.
                pub const METHOD_ID: u16 = $method_id;
                /// Class and method.
                pub const IDS: (u16, u16) = ($class_id, $method_id);
                /// Class and method as they appear in reply texts.
                pub const NAME: &'static str = $name;

                methods!(@codec [$($life)?] $($field: $type,)*);
            }

            impl<'a> From<$method $(<$life>)?> for Method<'a> {
                #[inline]
                fn from(method: $method $(<$life>)?) -> Method<'a> {
                    Method::$method(method)
                }
            }
        )*

        /// Any method, borrowed from the frame it came in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method<'a> {
            $($(#[$doc])* $method($method $(<$life>)?),)*
        }

        impl<'a> Method<'a> {
            /// Class id, method id and name of all methods.
            pub const ALL: &'static [(u16, u16, &'static str)] = &[$(($class_id, $method_id, $name),)*];

            /// Reads the payload of a method frame. All of it must be used up.
            #[inline]
            pub fn decode(payload: &'a [u8]) -> Result<Method<'a>, MethodError> {
                let Some((&[c0, c1, m0, m1], fields)) = payload.split_first_chunk::<4>() else {
                    return Err(MethodError::NoIds { payload: Snippet::of(payload) });
                };
                let (class_id, method_id) = (u16::from_be_bytes([c0, c1]), u16::from_be_bytes([m0, m1]));
                let mut from = Reader::new(fields);
                let method = match (class_id, method_id) {
                    $(($class_id, $method_id) => $method::read(&mut from).map(Method::$method),)*
                    _ => return Err(MethodError::Unknown { class_id, method_id }),
                };
                match method {
                    Ok(method) if from.is_empty() => Ok(method),
                    Ok(_) => Err(MethodError::of_fields(WireError::Short, class_id, method_id, fields)),
                    Err(error) => Err(MethodError::of_fields(error, class_id, method_id, fields)),
                }
            }

            /// Appends the whole frame. Only methods with a table or a long string can make it longer than
            /// the smallest frame-max.
            pub fn encode_frame(&self, channel: u16, out: &mut BytesMut) {
                encode_frame(out, FrameKind::Method, channel, |out| {
                    out.put_u16(self.class_id());
                    out.put_u16(self.method_id());
                    let mut to = Writer::new(out);
                    match self {
                        $(Method::$method(method) => method.write(&mut to),)*
                    }
                });
            }

            /// The id of the class.
            pub const fn class_id(&self) -> u16 {
                match self {
                    $(Method::$method(_) => $class_id,)*
                }
            }

            /// The id of the method within its class.
            pub const fn method_id(&self) -> u16 {
                match self {
                    $(Method::$method(_) => $method_id,)*
                }
            }

            /// Class and method as they appear in reply texts, like `queue.declare`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Method::$method(_) => $name,)*
                }
            }

            /// Whether a content header and a body follow the method.
            pub const fn has_content(&self) -> bool {
                match self {
                    $(Method::$method(_) => methods!(@content $($content)?),)*
                }
            }

            /// The method of that name, with fields drawn from the source.
            #[cfg(test)]
            pub(super) fn sample(name: &str, source: &Source<'a>) -> Option<Method<'a>> {
                match name {
                    $($name => Some(Method::$method($method { $($field: source.field(stringify!($field)),)* })),)*
                    _ => None,
                }
            }
        }
    };

    (@content) => { false };
    (@content content) => { true };

    (@codec [$($life:lifetime)?]) => {
        fn read(_: &mut Reader<'_>) -> Result<Self, WireError> {
            Ok(Self {})
        }

        fn write(&self, _: &mut Writer<'_>) {}
    };
    (@codec [] $($field:ident: $type:ty,)+) => {
        #[inline]
        fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
            Ok(Self { $($field: <$type>::read(from)?,)+ })
        }

        #[inline]
        fn write(&self, to: &mut Writer<'_>) {
            $(self.$field.write(to);)+
        }
    };
    (@codec [$life:lifetime] $($field:ident: $type:ty,)+) => {
        #[inline]
        fn read(from: &mut Reader<$life>) -> Result<Self, WireError> {
            Ok(Self { $($field: <$type>::read(from)?,)+ })
        }

        #[inline]
        fn write(&self, to: &mut Writer<'_>) {
            $(self.$field.write(to);)+
        }
    };
}

pub(super) use methods;
