//! The characters of texts.

/// Whether all characters of a text may be in a message: those that XML 1.0 has.
pub(crate) fn is_text(text: &str) -> bool {
    // Most texts have nothing below a space but line ends, and nothing that begins with 0xEF, as U+FFFE and U+FFFF do.
    let is_allowed = |byte: u8| byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r');
    if !text.bytes().all(is_allowed) {
        return false;
    }
    !text.as_bytes().contains(&0xEF) || !text.contains(['\u{FFFE}', '\u{FFFF}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_characters_of_xml() {
        for text in ["", "a\tb\r\nc", "\u{20}\u{D7FF}\u{E000}\u{FFFD}\u{10000}\u{10FFFF}", "\u{7F}\u{FEFF}"] {
            assert!(is_text(text), "{text:?}");
        }
        for text in ["\0", "a\u{1}", "\u{B}", "\u{1F}", "x\u{FFFE}", "\u{FFFF}"] {
            assert!(!is_text(text), "{text:?}");
        }
    }
}
