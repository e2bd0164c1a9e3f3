//! Patterns: `*` is any text, `?` any one letter.

/// Whether all of a text is what a pattern says. Takes time in proportion to the product of their lengths at most.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position) = (0, 0);
    // Where the last star is, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(b'?') => {
                // A letter may have several bytes.
                position += letter_bytes(text, position);
                at += 1;
            }
            Some(byte) if *byte == text[position] => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                let taken = taken + letter_bytes(text, taken);
                star = Some((star_at, taken));
                at = star_at + 1;
                position = taken;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

fn letter_bytes(text: &[u8], position: usize) -> usize {
    1 + text[position + 1..].iter().take_while(|byte| **byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            Some((wanted, rest)) => text
                .split_first()
                .is_some_and(|(letter, text)| (*wanted == '?' || wanted == letter) && naive(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn patterns_match_what_they_say(pattern in "[ab*?é]{0,8}", text in "[abé]{0,8}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), naive(&letters(&pattern), &letters(&text)), "{} {}", pattern, text);
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(1_000), &"b".repeat(2_000)));
        assert!(matches("*a*a*a*", "bananas"));
    }
}
