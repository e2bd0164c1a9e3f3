//! What was written for a key, read as what the key wants. An error is the end of a sentence that begins with the key.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use gantry_aws::outbound::{InvalidRule, Rule};
use gantry_broker::rights::TokenAlgorithm;
use gantry_websocket::Origins;

/// What was written.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// In the file.
    Toml(&'a toml::Value),
    /// In the environment, where everything is text.
    Text(&'a str),
}

impl<'a> Given<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Given::Text(text) => Some(text),
            Given::Toml(value) => value.as_str(),
        }
    }

    /// As it is shown in an error.
    fn shown(self) -> String {
        match self {
            Given::Text(text) => format!("{text:?}"),
            Given::Toml(value) => value.to_string(),
        }
    }

    pub(super) fn string(self) -> Result<String, String> {
        self.text().map(str::to_owned).ok_or_else(|| format!("is text in quotes, not {}", self.shown()))
    }

    /// A list with commas of what `read` takes; `wanted` says what that is.
    pub(super) fn list<T>(self, wanted: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
        self.text().and_then(read).ok_or_else(|| format!("is {wanted}, not {}", self.shown()))
    }

    /// Paths of URLs, with commas between them.
    pub(super) fn url_paths(self) -> Result<Vec<String>, String> {
        self.list("a path that begins with /, or some with commas between them", |text| {
            let paths: Vec<_> = text.split(',').map(str::trim).filter(|path| !path.is_empty()).collect();
            let are_paths = !paths.is_empty() && paths.iter().all(|path| path.starts_with('/'));
            are_paths.then(|| paths.into_iter().map(str::to_owned).collect())
        })
    }

    /// Web pages that may connect.
    pub(super) fn origins(self) -> Result<Origins, String> {
        let wanted = "same-host, origins such as https://app.example.com with commas between them, or *";
        self.list(wanted, |text| Origins::parse(text).ok())
    }

    /// A path; the empty one is none.
    pub(super) fn path(self) -> Result<Option<PathBuf>, String> {
        let text = self.text().ok_or_else(|| format!("is a path in quotes, not {}", self.shown()))?;
        Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
    }

    pub(super) fn flag(self) -> Result<bool, String> {
        match self {
            Given::Toml(toml::Value::Boolean(flag)) => Ok(*flag),
            Given::Text("true") => Ok(true),
            Given::Text("false") => Ok(false),
            _ => Err(format!("is true or false, not {}", self.shown())),
        }
    }

    pub(super) fn number(self, range: &RangeInclusive<u64>) -> Result<u64, String> {
        let number = match self {
            Given::Toml(toml::Value::Integer(number)) => u64::try_from(*number).ok(),
            Given::Text(text) => text.trim().parse().ok(),
            Given::Toml(_) => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("is a number from {} to {}, not {}", range.start(), range.end(), self.shown()))
    }

    /// A number of bytes: 67108864, "67108864" or "64MiB".
    pub(super) fn bytes(self, range: &RangeInclusive<u64>) -> Result<u64, String> {
        let bytes = match self {
            Given::Toml(toml::Value::Integer(bytes)) => u64::try_from(*bytes).ok(),
            _ => self.text().and_then(parse_bytes),
        };
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
            let (least, most) = (show_bytes(*range.start()), show_bytes(*range.end()));
            format!("is a size from {least} to {most}, such as 1048576 or \"1MiB\", not {}", self.shown())
        })
    }

    pub(super) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Result<T, String> {
        let chosen = self.text().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
            format!("is one of {}, not {}", names.join(", "), self.shown())
        })
    }

    /// Names, in a list or with commas between them.
    pub(super) fn names(self) -> Result<Vec<String>, String> {
        let wrong = || format!("is a list of names, or text with commas between them, not {}", self.shown());
        if let Given::Toml(toml::Value::Array(names)) = self {
            return names.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong)).collect();
        }
        let text = self.text().ok_or_else(wrong)?;
        Ok(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// As [`Given::names`], of hosts, patterns of hosts, and networks.
    pub(super) fn rules(self) -> Result<Vec<Rule>, String> {
        let rule =
            |name: &String| name.parse().map_err(|error: InvalidRule| format!("is a list of endpoints, and {error}"));
        self.names()?.iter().map(rule).collect()
    }

    /// As [`Given::names`], of accounts and their virtual hosts: `000000000000=/`.
    pub(super) fn accounts(self) -> Result<Vec<(String, String)>, String> {
        let wrong = |name: &str| {
            format!(
                "is a list of accounts of 12 digits and their virtual hosts, such as \"000000000000=/\", not {name:?}"
            )
        };
        let mut accounts: Vec<(String, String)> = Vec::new();
        for name in self.names()? {
            let (account, vhost) = name.split_once('=').ok_or_else(|| wrong(&name))?;
            let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            if !is_account || vhost.is_empty() {
                return Err(wrong(&name));
            }
            if accounts.iter().any(|(other, of)| other == account || of == vhost) {
                return Err(format!("names an account or a virtual host twice: {name:?}"));
            }
            accounts.push((account.to_owned(), vhost.to_owned()));
        }
        Ok(accounts)
    }

    /// As [`Given::names`], of algorithms.
    pub(super) fn algorithms(self) -> Result<Vec<TokenAlgorithm>, String> {
        let names = self.names()?;
        names
            .iter()
            .map(|name| name.parse().map_err(|_| format!("is a list of algorithms such as \"ES256\", not {name:?}")))
            .collect()
    }

    /// Where to listen; `None` is `off`.
    pub(super) fn address(self) -> Result<Option<SocketAddr>, String> {
        let text = self.text().map(str::trim);
        if text == Some("off") {
            return Ok(None);
        }
        let address = text.and_then(|text| text.parse().ok());
        address.map(Some).ok_or_else(|| {
            let forms = "an IP address and a port, such as \"127.0.0.1:5672\" or \"[::]:5672\", or \"off\"";
            format!("is {forms}, not {}", self.shown())
        })
    }
}

const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?.trim_end(), *bytes)));
    let (digits, unit_bytes) = unit.unwrap_or((text, 1));
    digits.parse::<u64>().ok()?.checked_mul(unit_bytes)
}

fn show_bytes(bytes: u64) -> String {
    match UNITS[..4].iter().find(|(_, unit_bytes)| bytes >= *unit_bytes && bytes.is_multiple_of(*unit_bytes)) {
        Some((unit, unit_bytes)) => format!("{} {unit}", bytes / unit_bytes),
        None => format!("{bytes} B"),
    }
}
