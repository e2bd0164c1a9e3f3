//! A policy as AWS writes it, read and checked.

use std::borrow::Cow;

use hashbrown::HashMap;
use serde::Deserialize;

use super::identifier::Identifier;
use super::{POLICY_BYTES_MAX, Protection, managed};

const VERSION: &str = "2021-06-01";
/// Most identifiers that somebody has made, of a policy.
const CUSTOM_MAX: usize = 10;
/// Most characters of the name of such a one.
const NAME_CHARACTERS_MAX: usize = 128;
/// Most identifiers of all statements of a policy together: each is looked for in each message.
const IDENTIFIERS_MAX: usize = 64;

/// What is done to messages in which something is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// They do not go on.
    Deny,
    /// Each character of it becomes this one.
    Mask(char),
    /// It is taken out.
    Redact,
}

/// A statement that does something to messages.
#[derive(Debug)]
pub(super) struct Statement {
    /// ARNs, or `*`.
    pub(super) principals: Vec<String>,
    pub(super) identifiers: Vec<Identifier>,
    pub(super) action: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PolicyText<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "Description")]
    _description: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    configuration: Option<Configuration<'a>>,
    #[serde(borrow, default)]
    statement: Vec<StatementText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Configuration<'a> {
    #[serde(borrow, default)]
    custom_data_identifier: Vec<Custom<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Custom<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    regex: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StatementText<'a> {
    #[serde(borrow, default, rename = "Sid")]
    _sid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data_direction: Option<Cow<'a, str>>,
    #[serde(default)]
    principal: OneOrMore,
    #[serde(default)]
    data_identifier: OneOrMore,
    operation: Operation,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    #[default]
    None,
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Operation {
    audit: Option<Audit>,
    deny: Option<Nothing>,
    deidentify: Option<Deidentify>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Audit {
    sample_rate: Option<serde_json::Value>,
    findings_destination: Option<serde_json::Value>,
    no_findings_destination: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Deidentify {
    mask_config: Option<Mask>,
    redact_config: Option<Nothing>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Mask {
    mask_with_character: String,
}

/// Reads a policy; why it is none where it is not.
pub(super) fn parse(text: &str) -> Result<Protection, String> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(format!("The policy must not be longer than {POLICY_BYTES_MAX} bytes."));
    }
    let policy: PolicyText<'_> =
        serde_json::from_str(text).map_err(|error| format!("The policy cannot be read: {error}."))?;
    if policy.name.as_deref().is_none_or(str::is_empty) {
        return Err("The policy must have a Name.".to_owned());
    }
    if policy.version.as_deref() != Some(VERSION) {
        return Err(format!("The Version must be {VERSION}."));
    }
    if policy.statement.is_empty() {
        return Err("The policy must have a Statement.".to_owned());
    }
    let custom = custom(policy.configuration.map(|configuration| configuration.custom_data_identifier))?;
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    let (mut audits, mut identifiers) = (0, 0);
    for statement in policy.statement {
        let of_direction = match statement.data_direction.as_deref() {
            Some("Inbound") => &mut inbound,
            Some("Outbound") => &mut outbound,
            _ => return Err("The DataDirection must be Inbound or Outbound.".to_owned()),
        };
        let principals = statement.principal.into_vec();
        if principals.is_empty() {
            return Err("A statement must have a Principal.".to_owned());
        }
        let named = statement.data_identifier.into_vec();
        if named.is_empty() {
            return Err("A statement must have a DataIdentifier.".to_owned());
        }
        identifiers += named.len();
        if identifiers > IDENTIFIERS_MAX {
            return Err(format!(
                "All statements together must not have more than {IDENTIFIERS_MAX} of DataIdentifier."
            ));
        }
        let action = match action(&statement.operation)? {
            Some(action) => action,
            None => {
                audits += 1;
                if audits > 1 {
                    return Err("There must not be more than one statement with Audit.".to_owned());
                }
                if statement.data_direction.as_deref() != Some("Inbound") {
                    return Err("Audit is for the DataDirection Inbound.".to_owned());
                }
                // What it would look for is kept, and nobody looks.
                for name in &named {
                    if managed::name_of(name).is_none() && !custom.contains_key(&**name) {
                        return Err(unknown(name));
                    }
                }
                continue;
            }
        };
        let mut looked_for = Vec::with_capacity(named.len());
        for name in &named {
            let known = match managed::name_of(name) {
                Some(name) => managed::find(name),
                None => custom.get(&**name).cloned(),
            };
            looked_for.push(known.ok_or_else(|| unknown(name))?);
        }
        of_direction.push(Statement { principals, identifiers: looked_for, action });
    }
    Ok(Protection { inbound, outbound })
}

fn unknown(name: &str) -> String {
    format!("The DataIdentifier {} is not known here.", crate::sns::fault::shown(name))
}

fn custom<'a>(given: Option<Vec<Custom<'a>>>) -> Result<HashMap<Cow<'a, str>, Identifier>, String> {
    let given = given.unwrap_or_default();
    if given.len() > CUSTOM_MAX {
        return Err(format!("There must not be more than {CUSTOM_MAX} of CustomDataIdentifier."));
    }
    let mut custom = HashMap::with_capacity(given.len());
    for Custom { name, regex } in given {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || !name.chars().all(is_plain) {
            return Err(
                "The Name of a CustomDataIdentifier has 1 to 128 letters, digits, hyphens and underscores.".to_owned()
            );
        }
        if managed::is_known(&name) {
            return Err(format!("{name} is the name of a managed data identifier."));
        }
        let identifier = Identifier::custom(&name, &regex)?;
        if custom.insert(name, identifier).is_some() {
            return Err("The Name of each CustomDataIdentifier must be another one.".to_owned());
        }
    }
    Ok(custom)
}

/// What a statement does; none where it only watches.
fn action(operation: &Operation) -> Result<Option<Action>, String> {
    match operation {
        Operation { audit: Some(audit), deny: None, deidentify: None } => {
            check_audit(audit)?;
            Ok(None)
        }
        Operation { audit: None, deny: Some(_), deidentify: None } => Ok(Some(Action::Deny)),
        Operation { audit: None, deny: None, deidentify: Some(how) } => match how {
            Deidentify { mask_config: Some(mask), redact_config: None } => {
                let mut characters = mask.mask_with_character.chars();
                match (characters.next(), characters.next()) {
                    (Some(with), None) if with == ' ' || with.is_ascii_graphic() => Ok(Some(Action::Mask(with))),
                    _ => Err("MaskWithCharacter must be one printable character of ASCII.".to_owned()),
                }
            }
            Deidentify { mask_config: None, redact_config: Some(_) } => Ok(Some(Action::Redact)),
            _ => Err("Deidentify must have either MaskConfig or RedactConfig.".to_owned()),
        },
        _ => Err("An Operation must be one of Audit, Deny and Deidentify.".to_owned()),
    }
}

fn check_audit(audit: &Audit) -> Result<(), String> {
    let rate = match &audit.sample_rate {
        Some(serde_json::Value::String(text)) => text.parse::<u64>().ok(),
        Some(number) => number.as_u64(),
        None => None,
    };
    if rate.is_none_or(|rate| rate > 99) {
        return Err("The SampleRate must be an integer from 0 to 99.".to_owned());
    }
    if audit.findings_destination.is_none() && audit.no_findings_destination.is_none() {
        return Err("Audit must have a FindingsDestination or a NoFindingsDestination.".to_owned());
    }
    Ok(())
}
