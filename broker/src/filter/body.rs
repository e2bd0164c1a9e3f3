//! The values of a body that some policy asks for, each by the names of all levels with dots between them. Arrays make no level: each of
//! their elements stands where the array does.

use super::arrays::Element;
use super::json::{Reader, Token};
use super::limits::BODY_DEPTH_MAX;
use super::subject::{Names, Subject, scalar_of};

/// The body is no JSON object, or there is too much in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotRead;

/// An object or an array that is open.
#[derive(Clone, Copy)]
struct Open {
    /// Bytes of the path to it; none where it is longer than every name.
    path_bytes: Option<usize>,
    /// The element that it is in.
    element: Element,
    /// Its number where it is an array.
    array: Option<u32>,
}

/// Reads a body once.
pub(super) fn read<'m>(text: &'m str, names: &impl Names, subject: &mut Subject<'m>) -> Result<(), NotRead> {
    let mut reader = Reader::new(text, BODY_DEPTH_MAX);
    if reader.next().map_err(|_| NotRead)? != Token::ObjectStart {
        return Err(NotRead);
    }
    let bytes_max = names.bytes_max();
    let mut path = String::new();
    let mut arrays = 0;
    let mut open = vec![Open { path_bytes: Some(0), element: 0, array: None }];
    // The path to the value that comes next.
    let mut path_bytes = Some(0);
    loop {
        let token = reader.next().map_err(|_| NotRead)?;
        let Some(around) = open.last().copied() else {
            // The reader lets nothing follow.
            return if token == Token::End { Ok(()) } else { Err(NotRead) };
        };
        if around.array.is_some() {
            path_bytes = around.path_bytes;
        }
        match token {
            Token::Key(name) => {
                path_bytes = around.path_bytes.and_then(|bytes| {
                    path.truncate(bytes);
                    if bytes > 0 {
                        path.push('.');
                    }
                    let is_longer = path.len() + name.len() > bytes_max;
                    if is_longer {
                        return None;
                    }
                    path.push_str(&name);
                    Some(path.len())
                });
            }
            Token::ObjectStart | Token::ArrayStart => {
                let element = match around.array {
                    Some(array) if path_bytes.is_some() => subject.elements.add(around.element, array),
                    _ => around.element,
                };
                let array = (token == Token::ArrayStart).then(|| {
                    arrays += 1;
                    arrays
                });
                open.push(Open { path_bytes, element, array });
            }
            Token::ObjectEnd | Token::ArrayEnd => {
                open.pop();
            }
            token => {
                // Deeper ones have left their names behind.
                let name = path_bytes.and_then(|bytes| names.number(path.get(..bytes)?));
                if let (Some(name), Some(scalar)) = (name, scalar_of(token))
                    && !subject.add(name, scalar, around.element)
                {
                    return Err(NotRead);
                }
            }
        }
    }
}
