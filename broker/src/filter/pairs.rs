//! A policy as a tree, with the places that errors tell. A place is where AWS's parser is when it finds the error: behind the value
//! that comes next, or behind its first quote where that is a text.

use std::borrow::Cow;

use super::error::FilterError;
use super::json::{Malformed, Reader, Token};
use super::limits::POLICY_DEPTH_MAX;

/// A value and where it ends.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) kind: Kind<'a>,
    /// Behind its first character where it is a text, an object or an array, behind the whole of it where it is not.
    pub(super) seen: usize,
    /// Behind the whole of it.
    pub(super) end: usize,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    Array(Vec<Node<'a>>),
    Text(Cow<'a, str>),
    /// As it is written.
    Number(&'a str),
    Bool(bool),
    Null,
}

impl Node<'_> {
    /// A number in a policy.
    pub(super) fn number(&self) -> Option<f64> {
        match self.kind {
            Kind::Number(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// Reads a document whole.
pub(super) fn read(text: &str) -> Result<Node<'_>, FilterError> {
    let malformed = |Malformed { what, at }| FilterError::at(format_args!("failed to parse JSON. {what}"), text, at);
    let mut reader = Reader::new(text, POLICY_DEPTH_MAX);
    let token = reader.next().map_err(malformed)?;
    let node = node(&mut reader, token).map_err(malformed)?;
    match reader.next() {
        Ok(_) => Ok(node),
        Err(error) => Err(malformed(error)),
    }
}

/// What a token begins. The reader bounds how deep this goes.
fn node<'a>(reader: &mut Reader<'a>, token: Token<'a>) -> Result<Node<'a>, Malformed> {
    let start = reader.start();
    let mut seen = reader.end();
    let kind = match token {
        Token::ObjectStart => {
            let mut members = Vec::new();
            loop {
                match reader.next()? {
                    Token::Key(name) => {
                        let token = reader.next()?;
                        members.push((name, node(reader, token)?));
                    }
                    _ => break Kind::Object(members),
                }
            }
        }
        Token::ArrayStart => {
            let mut items = Vec::new();
            loop {
                match reader.next()? {
                    Token::ArrayEnd => break Kind::Array(items),
                    token => items.push(node(reader, token)?),
                }
            }
        }
        Token::Text(text) => {
            seen = start + 1;
            Kind::Text(text)
        }
        Token::Number(text) => Kind::Number(text),
        Token::Bool(value) => Kind::Bool(value),
        // The others do not begin a value, and the reader gives none of them where one is due.
        Token::Null | Token::ObjectEnd | Token::ArrayEnd | Token::Key(_) | Token::End => Kind::Null,
    };
    Ok(Node { kind, seen, end: reader.end() })
}
