//! What is agreed on of permessage-deflate (RFC 7692, section 7.1), the one extension there is.
//!
//! Both sides begin each message anew (`no_context_takeover`): what a window of 32 KiB for each direction of each connection would
//! save is not worth what it costs where ten thousand clients are idle.

/// Longest window, by its bits: what there is without being named.
const WINDOW_BITS_MAX: u8 = 15;

/// What both sides do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deflate {
    /// The client wants our window to be no longer than this, as a power of two in bytes.
    server_max_window_bits: Option<u8>,
}

impl Deflate {
    /// The longest message that we may compress, in bytes: the compressor has the longest window, and looks no further back than
    /// to the beginning of the message.
    pub(crate) fn message_bytes_max(self) -> usize {
        match self.server_max_window_bits {
            Some(bits) if bits < WINDOW_BITS_MAX => 1 << bits,
            _ => usize::MAX,
        }
    }

    /// What is answered.
    pub(crate) fn answer(self) -> String {
        let mut answer = String::from("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        if let Some(bits) = self.server_max_window_bits {
            answer.push_str(&format!("; server_max_window_bits={bits}"));
        }
        answer
    }
}

/// The first of the client's offers that can be accepted. Others are declined without a word.
pub(crate) fn agree(offers: &str) -> Option<Deflate> {
    offers.split(',').find_map(offer)
}

fn offer(offer: &str) -> Option<Deflate> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut agreed = Deflate { server_max_window_bits: None };
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
            None => (part, None),
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(value)) => drop(window_bits(value)?),
            ("server_max_window_bits", Some(value)) => agreed.server_max_window_bits = Some(window_bits(value)?),
            _ => return None,
        }
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
    }
    Some(agreed)
}

/// A number from 8 to 15, in quotes or not, and without zeros before it.
fn window_bits(value: &str) -> Option<u8> {
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (8..=WINDOW_BITS_MAX).find(|bits| bits.to_string() == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn neither_side_keeps_a_window_whatever_the_client_offers() {
        for offers in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=\"10\"; server_no_context_takeover",
            "Permessage-Deflate;client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
        ] {
            let agreed = agree(offers).unwrap();
            assert_eq!(agreed.answer(), PLAIN, "{offers}");
            assert_eq!(agreed.message_bytes_max(), usize::MAX);
        }
    }

    #[test]
    fn a_shorter_window_is_kept_by_shorter_messages() {
        let agreed = agree("permessage-deflate; server_max_window_bits = 10").unwrap();
        assert_eq!(agreed.answer(), format!("{PLAIN}; server_max_window_bits=10"));
        assert_eq!(agreed.message_bytes_max(), 1024);
    }

    #[test]
    fn an_offer_that_is_wrong_is_passed_over() {
        for wrong in [
            "",
            "deflate",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
        ] {
            assert_eq!(agree(wrong), None, "{wrong}");
            let fallback = format!("{wrong}, permessage-deflate; server_max_window_bits=9");
            assert_eq!(agree(&fallback).map(Deflate::message_bytes_max), Some(512), "{fallback}");
        }
    }
}
