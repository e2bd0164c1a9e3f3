use super::pattern::kept_key;

#[test]
fn words_stand_in_the_order_of_their_bytes() {
    let mut keys: Vec<&[u8]> = vec![b"a.b", b"a", b"a\x00", b"a\x01", b"a b", b"a!", b"", b".", b"a."];
    keys.sort_by_key(|key| kept_key(key));
    assert_eq!(keys, [&b""[..], b".", b"a", b"a.", b"a.b", b"a\x00", b"a\x01", b"a b", b"a!"]);
}
