use proptest::prelude::*;

use super::*;

/// A conversation as another implementation leads it.
struct Example {
    password: &'static str,
    user: &'static str,
    server_nonce: &'static str,
    client_first: &'static str,
    server_first: &'static str,
    client_final: &'static str,
    server_final: &'static str,
}

const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

/// The one of RFC 7677, then what the Python package scramp says, as client and as server, for names and passwords that
/// are not as simple.
const EXAMPLES: [Example; 3] = [
    Example {
        password: "pencil",
        user: "user",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    },
    Example {
        password: "p\u{e4}ss\u{a0}w\u{2168}rt",
        user: "device,1=a",
        server_nonce: "s1",
        client_first: "n,,n=device=2C1=3Da,r=c1",
        server_first: "r=c1s1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=c1s1,p=okkLRFXO45GqpSMflFNoxI0/VftjXrSaW4R4joAB0v8=",
        server_final: "v=bRIK8+HCtdTr2PKy9XQ0eu6No9Rfx3uQdyhMS/2h+N4=",
    },
    Example {
        password: "\u{ff2b}\u{ad}1",
        user: "a",
        server_nonce: "abc",
        client_first: "n,,n=a,r=fyko+d2lbbFgONRvskxz",
        server_first: "r=fyko+d2lbbFgONRvskxzabc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=fyko+d2lbbFgONRvskxzabc,p=HLj7FjkMgdHbgrLaTtQVVUY+JI0sK6qLivoe3oZLW1c=",
        server_final: "v=uuN9Zl8O/L89pldyX1SYd3AnMivKp09x1ZM0/vuj4EU=",
    },
];

fn verifier(password: &str) -> ScramVerifier {
    ScramVerifier::with_salt(password.as_bytes(), &STANDARD.decode(SALT).unwrap(), 4096)
}

fn cheap() -> ScramVerifier {
    ScramVerifier::with_salt(b"", b"salt", 1)
}

fn started() -> Scram {
    let example = &EXAMPLES[0];
    let started = Scram::start_with(example.client_first.as_bytes(), example.server_nonce, |_| verifier("pencil"));
    started.unwrap().0
}

fn refusal(client_first: &str) -> ScramError {
    Scram::start(client_first.as_bytes(), |_| verifier("pencil")).expect_err(client_first)
}

#[test]
fn conversations_of_others_go_as_they_say() {
    for example in EXAMPLES {
        let mut asked = None;
        let (scram, server_first) = Scram::start_with(example.client_first.as_bytes(), example.server_nonce, |user| {
            asked = Some(user.to_owned());
            verifier(example.password)
        })
        .unwrap();
        assert_eq!((asked.as_deref(), scram.user()), (Some(example.user), example.user));
        assert_eq!(String::from_utf8(server_first).unwrap(), example.server_first);
        let (user, server_final) = scram.finish(example.client_final.as_bytes()).unwrap();
        assert_eq!(
            (user.as_str(), String::from_utf8(server_final).unwrap().as_str()),
            (example.user, example.server_final)
        );
    }
}

#[test]
fn only_the_right_proof_lets_in() {
    let example = &EXAMPLES[0];
    let wrong = Scram::start_with(example.client_first.as_bytes(), example.server_nonce, |_| verifier("pencil2"));
    assert_eq!(wrong.unwrap().0.finish(example.client_final.as_bytes()), Err(ScramError::Proof));
    let (without, _) = example.client_final.rsplit_once(",p=").unwrap();
    for proof in ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "", "AAAA"] {
        assert_eq!(started().finish(format!("{without},p={proof}").as_bytes()), Err(ScramError::Proof));
    }
}

#[test]
fn the_nonce_is_a_new_one_each_time() {
    let nonce = || {
        let (scram, _) = Scram::start(b"n,,n=user,r=mine", |_| verifier("pencil")).unwrap();
        scram.nonce
    };
    let (one, other) = (nonce(), nonce());
    assert!(one.starts_with("mine") && one.len() == "mine".len() + 24 && one != other);
}

#[test]
fn channel_binding_is_refused_and_what_does_without_is_taken() {
    assert_eq!(refusal("p=tls-exporter,,n=user,r=c"), ScramError::ChannelBinding);
    for (first, binding) in [("y,,n=user,r=c", "eSws"), ("n,a=user,n=user,r=c", "bixhPXVzZXIs")] {
        let (scram, _) = Scram::start_with(first.as_bytes(), "s", |_| verifier("pencil")).unwrap();
        // Another binding than was said at first: somebody has changed the first message on its way.
        let changed = scram.finish(b"c=biws,r=cs,p=AAAA");
        assert_eq!(changed, Err(ScramError::Malformed("the channel binding is another one than at first")));
        let (scram, _) = Scram::start_with(first.as_bytes(), "s", |_| verifier("pencil")).unwrap();
        assert_eq!(scram.finish(format!("c={binding},r=cs,p=AAAA").as_bytes()), Err(ScramError::Proof));
    }
    assert_eq!(refusal("n,a=root,n=user,r=c"), ScramError::OtherIdentity);
}

#[test]
fn first_messages_that_are_none_are_refused() {
    for wrong in [
        "",
        "n",
        "n,",
        "n,,",
        "x,,n=user,r=c",
        "n,user,n=user,r=c",
        "n,,r=c,n=user",
        "n,,n=,r=c",
        "n,,n=user",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=\u{e4}",
        "n,,m=x,n=user,r=c",
        "n,,n=us=er,r=c",
        "n,,n=user=2,r=c",
        "n,,n=user,r=c,",
        "n,,n=user,r=c,xy",
        "n,,n=u\0,r=c",
    ] {
        assert!(matches!(refusal(wrong), ScramError::Malformed(_)), "{wrong:?}");
    }
    assert!(matches!(refusal(&format!("n,,n={},r=c", "x".repeat(5000))), ScramError::Malformed(_)));
    assert!(Scram::start(b"n,,n=\xff,r=c", |_| verifier("")).is_err());
}

#[test]
fn second_messages_that_are_none_are_refused() {
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    for wrong in [
        String::new(),
        format!("c=biws,r={nonce}"),
        format!("r={nonce},c=biws,p=AAAA"),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=AAAA".to_owned(),
        "c=biws,p=AAAA".to_owned(),
        format!("c=biws,r={nonce}x,p=AAAA"),
        format!("c=biws,r={nonce},,p=AAAA"),
        format!("c=biws,r={nonce},p=!"),
        format!("c=bi,r={nonce},p=AAAA"),
        format!("c=eSws,r={nonce},p=AAAA"),
        "x".repeat(5000),
    ] {
        assert!(matches!(started().finish(wrong.as_bytes()), Err(ScramError::Malformed(_))), "{wrong}");
    }
}

proptest! {
    #[test]
    fn names_come_through_as_they_are(name in "[a-z,=\u{e4}]{1,20}") {
        let escaped = name.replace('=', "=3D").replace(',', "=2C");
        let (scram, _) = Scram::start(format!("n,,n={escaped},r=c").as_bytes(), |_| cheap()).unwrap();
        prop_assert_eq!(scram.user(), name);
    }

    #[test]
    fn no_message_makes_it_panic(first in "[npy]?,?(a=x)?,(n=[a=,]{0,3})?,?r?=?[ -~]{0,9}", second in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok((scram, _)) = Scram::start(first.as_bytes(), |_| cheap()) {
            prop_assert!(scram.finish(&second).is_err());
        }
    }
}
