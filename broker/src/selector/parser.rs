//! From words to an expression: one function a level of precedence, from `OR` down to literals.

use super::expression::{Comparison, Expression, Operator};
use super::like::Pattern;
use super::token::{Sign, Token, Tokens, Word};
use super::{DEPTH_MAX, SelectorError};

pub(super) struct Parser<'a> {
    tokens: Tokens<'a>,
    token: Token<'a>,
    /// Where it begins.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Reads from this offset of the text on.
    pub(super) fn new(text: &'a str, from: usize) -> Result<Self, SelectorError> {
        let mut tokens = Tokens::new(text, from);
        let (token, at) = tokens.next()?;
        Ok(Self { tokens, token, at, depth: 0 })
    }

    pub(super) fn parse(mut self) -> Result<Expression, SelectorError> {
        let start = self.at;
        let whole = self.any()?;
        if self.token != Token::End {
            return Err(self.wrong("something that does not belong here"));
        }
        condition(whole, start)
    }

    const fn wrong(&self, what: &'static str) -> SelectorError {
        SelectorError::new(self.at, what)
    }

    fn take(&mut self) -> Result<Token<'a>, SelectorError> {
        let (token, at) = self.tokens.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn skip(&mut self, token: &Token<'_>) -> Result<bool, SelectorError> {
        let is_there = self.token == *token;
        if is_there {
            self.take()?;
        }
        Ok(is_there)
    }

    fn skip_word(&mut self, word: Word) -> Result<bool, SelectorError> {
        self.skip(&Token::Word(word))
    }

    fn expect(&mut self, token: &Token<'_>, missing: &'static str) -> Result<(), SelectorError> {
        if self.skip(token)? { Ok(()) } else { Err(self.wrong(missing)) }
    }

    /// One level deeper.
    fn within<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, SelectorError>) -> Result<T, SelectorError> {
        if self.depth == DEPTH_MAX {
            return Err(self.wrong("more than 64 levels of nesting"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn any(&mut self) -> Result<Expression, SelectorError> {
        self.chain(Word::Or, Self::all, Expression::Or)
    }

    fn all(&mut self) -> Result<Expression, SelectorError> {
        self.chain(Word::And, Self::negation, Expression::And)
    }

    fn chain(
        &mut self,
        word: Word,
        part: impl Fn(&mut Self) -> Result<Expression, SelectorError>,
        make: impl Fn(Vec<Expression>) -> Expression,
    ) -> Result<Expression, SelectorError> {
        let start = self.at;
        let first = part(self)?;
        if self.token != Token::Word(word) {
            return Ok(first);
        }
        let mut parts = vec![condition(first, start)?];
        while self.skip_word(word)? {
            let start = self.at;
            let next = part(self)?;
            parts.push(condition(next, start)?);
        }
        Ok(make(parts))
    }

    fn negation(&mut self) -> Result<Expression, SelectorError> {
        if !self.skip_word(Word::Not)? {
            return self.comparison();
        }
        let start = self.at;
        let inner = self.within(Self::negation)?;
        Ok(Expression::Not(Box::new(condition(inner, start)?)))
    }

    fn comparison(&mut self) -> Result<Expression, SelectorError> {
        let left = self.sum()?;
        let comparison = match &self.token {
            Token::Sign(Sign::Equal) => Comparison::Equal,
            Token::Sign(Sign::Unequal) => Comparison::Unequal,
            Token::Sign(Sign::Less) => Comparison::Less,
            Token::Sign(Sign::LessOrEqual) => Comparison::LessOrEqual,
            Token::Sign(Sign::Greater) => Comparison::Greater,
            Token::Sign(Sign::GreaterOrEqual) => Comparison::GreaterOrEqual,
            Token::Word(Word::Is) => return self.is_null(left),
            Token::Word(Word::Not | Word::Between | Word::In | Word::Like) => return self.test(left),
            _ => return Ok(left),
        };
        self.take()?;
        let is_ordered = !matches!(comparison, Comparison::Equal | Comparison::Unequal);
        let start = self.at;
        let right = self.sum()?;
        let unordered = |side: &Expression| matches!(side, Expression::Text(_) | Expression::Bool(_));
        if is_ordered && (unordered(&left) || unordered(&right)) {
            return Err(SelectorError::new(start, "text and truth values have no order to compare by"));
        }
        Ok(Expression::Compare(Box::new((left, comparison, right))))
    }

    fn is_null(&mut self, value: Expression) -> Result<Expression, SelectorError> {
        self.take()?;
        let not = self.skip_word(Word::Not)?;
        self.expect(&Token::Word(Word::Null), "NULL is missing")?;
        Ok(Expression::IsNull { not, value: Box::new(value) })
    }

    /// `[NOT] BETWEEN`, `[NOT] IN`, `[NOT] LIKE`.
    fn test(&mut self, value: Expression) -> Result<Expression, SelectorError> {
        let not = self.skip_word(Word::Not)?;
        match self.take()? {
            Token::Word(Word::Between) => {
                let low = self.sum()?;
                self.expect(&Token::Word(Word::And), "AND is missing")?;
                let high = self.sum()?;
                Ok(Expression::Between { not, of: Box::new([value, low, high]) })
            }
            Token::Word(Word::In) => {
                self.expect(&Token::Sign(Sign::Open), "( is missing")?;
                let mut texts = vec![self.text()?];
                while self.skip(&Token::Sign(Sign::Comma))? {
                    texts.push(self.text()?);
                }
                self.expect(&Token::Sign(Sign::Close), ") is missing")?;
                Ok(Expression::In { not, value: Box::new(value), texts })
            }
            Token::Word(Word::Like) => {
                let start = self.at;
                let text = self.text()?;
                let mut escape = None;
                if self.skip_word(Word::Escape)? {
                    let start = self.at;
                    let text = self.text()?;
                    let mut characters = text.chars();
                    escape = characters.next();
                    if escape.is_none() || characters.next().is_some() {
                        return Err(SelectorError::new(start, "ESCAPE takes one character"));
                    }
                }
                let pattern = Pattern::new(&text, escape).map_err(|what| SelectorError::new(start, what))?;
                Ok(Expression::Like { not, value: Box::new(value), pattern: Box::new(pattern) })
            }
            _ => Err(self.wrong("BETWEEN, IN or LIKE is missing")),
        }
    }

    fn text(&mut self) -> Result<Box<str>, SelectorError> {
        let at = self.at;
        match self.take()? {
            Token::Text(text) => Ok(text.into()),
            _ => Err(SelectorError::new(at, "a text is missing")),
        }
    }

    fn sum(&mut self) -> Result<Expression, SelectorError> {
        self.operators(Self::product, |sign| match sign {
            Sign::Plus => Some(Operator::Plus),
            Sign::Minus => Some(Operator::Minus),
            _ => None,
        })
    }

    fn product(&mut self) -> Result<Expression, SelectorError> {
        self.operators(Self::signed, |sign| match sign {
            Sign::Times => Some(Operator::Times),
            Sign::Over => Some(Operator::Over),
            _ => None,
        })
    }

    fn operators(
        &mut self,
        part: impl Fn(&mut Self) -> Result<Expression, SelectorError>,
        operator_of: impl Fn(Sign) -> Option<Operator>,
    ) -> Result<Expression, SelectorError> {
        let start = self.at;
        let first = part(self)?;
        let mut rest = Vec::new();
        while let Token::Sign(sign) = self.token
            && let Some(operator) = operator_of(sign)
        {
            if rest.is_empty() {
                check_number(&first, start)?;
            }
            self.take()?;
            let start = self.at;
            let next = part(self)?;
            check_number(&next, start)?;
            rest.push((operator, next));
        }
        Ok(if rest.is_empty() { first } else { Expression::Arithmetic(Box::new(first), rest) })
    }

    fn signed(&mut self) -> Result<Expression, SelectorError> {
        if self.skip(&Token::Sign(Sign::Plus))? {
            let start = self.at;
            let inner = self.within(Self::signed)?;
            return check_number(&inner, start).map(|()| inner);
        }
        if !self.skip(&Token::Sign(Sign::Minus))? {
            return self.primary();
        }
        let start = self.at;
        // A sign belongs to the number that follows: the least one has no positive twin.
        let negative = match self.token {
            Token::Integer(value) => Expression::Integer(0_i64.wrapping_sub_unsigned(value)),
            Token::Float(value) => Expression::Float(-value),
            _ => {
                let inner = self.within(Self::signed)?;
                check_number(&inner, start)?;
                return Ok(Expression::Negated(Box::new(inner)));
            }
        };
        self.take()?;
        Ok(negative)
    }

    fn primary(&mut self) -> Result<Expression, SelectorError> {
        let at = self.at;
        match self.take()? {
            Token::Name(name) => Ok(Expression::Name(name.into())),
            Token::Text(text) => Ok(Expression::Text(text.into())),
            Token::Integer(value) => i64::try_from(value)
                .map(Expression::Integer)
                .map_err(|_| SelectorError::new(at, "a number that is too large")),
            Token::Float(value) => Ok(Expression::Float(value)),
            Token::Word(Word::True) => Ok(Expression::Bool(true)),
            Token::Word(Word::False) => Ok(Expression::Bool(false)),
            Token::Sign(Sign::Open) => {
                let inner = self.within(Self::any)?;
                self.expect(&Token::Sign(Sign::Close), ") is missing")?;
                Ok(inner)
            }
            Token::End => Err(SelectorError::new(at, "the end, where a value is missing")),
            _ => Err(SelectorError::new(at, "something else, where a value is missing")),
        }
    }
}

fn condition(expression: Expression, at: usize) -> Result<Expression, SelectorError> {
    if expression.is_condition() {
        Ok(expression)
    } else {
        Err(SelectorError::new(at, "a value, where a condition is missing"))
    }
}

fn check_number(expression: &Expression, at: usize) -> Result<(), SelectorError> {
    match expression {
        Expression::Integer(_)
        | Expression::Float(_)
        | Expression::Name(_)
        | Expression::Negated(_)
        | Expression::Arithmetic(..) => Ok(()),
        _ => Err(SelectorError::new(at, "something that is no number")),
    }
}
