//! Writes the seed corpus into `corpus/filters` and `corpus/bodies`. Run by `run.sh seeds`; the result is checked in.

use std::error::Error;
use std::fs;

const FILTERS: &[(&str, &str)] = &[
    ("exact", "{\"a\":[\"x\",1,null,true]}\0x"),
    ("operators", "{\"a\":[{\"prefix\":\"x\"},{\"suffix\":\"y\"},{\"equals-ignore-case\":\"Z\"},{\"wildcard\":\"x*y*z\"}]}\0xyz"),
    ("anything-but", "{\"a\":[{\"anything-but\":[\"x\",\"y\"]},{\"anything-but\":{\"prefix\":[\"x\"]}},{\"anything-but\":5}]}\0z"),
    ("numeric", "{\"b\":[{\"numeric\":[\">\",0,\"<=\",1e3]},{\"numeric\":[\"=\",-0.0]}]}\0-0.5e2"),
    ("addresses", "{\"a\":[{\"cidr\":\"10.0.0.0/8\"},{\"cidr\":\"::1/128\"}]}\0::1"),
    ("exists", "{\"a\":[{\"exists\":true}],\"d\":[{\"exists\":false}]}\0x"),
    ("or", "{\"$or\":[{\"a\":[\"x\"]},{\"b\":[1],\"$or\":[{\"c\":[2]},{\"d\":[3]}]}]}\0[2]"),
    ("levels", "{\"a\":{\"b\":{\"c\":[\"x\"]},\"d\":[1]}}\0{\"a\":[{\"b\":[{\"c\":\"x\"}],\"d\":1}]}"),
    ("wildcard-escapes", "{\"a\":[{\"wildcard\":\"\\\\*\\\\\\\\*\"}]}\0*\\"),
    ("mistake", "{\"a\":[{\"numeric\":[\"<\",1,\">\",2]}]}\0"),
];

const BODIES: &[(&str, &str)] = &[
    ("object", r#"{"a": "x", "b": -1.5e3, "c": [true, false, null], "d": {}}"#),
    ("elements", r#"{"a": [{"a": "x", "b": 1}, [{"a": "x"}, {"b": 1}]], "a.c": 5}"#),
    ("escapes", r#"{"\u0061": "\"\\\/\b\f\n\r\t\ud83d\ude00\ud83d"}"#),
    ("array", r#"["x", 1, {"a": "x"}, ["x"]]"#),
    ("deep", "{\"a\":[[[[[[[[[[[[[[[[{\"a\":1}]]]]]]]]]]]]]]]]}"),
    ("number", "0.5"),
    ("address", "10.255.0.1"),
];

fn main() -> Result<(), Box<dyn Error>> {
    for (target, seeds) in [("filters", FILTERS), ("bodies", BODIES)] {
        let folder = format!("corpus/{target}");
        fs::create_dir_all(&folder)?;
        for (name, seed) in seeds {
            fs::write(format!("{folder}/{name}"), seed)?;
        }
    }
    Ok(())
}
