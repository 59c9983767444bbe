//! What `models check` tells, with a model of a few random weights in the published layout.

use std::path::PathBuf;

use crate::run::Place;

fn line(rest: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference/hf/musicgen_mono");
    let folder = folder.canonicalize().expect("the reference model");
    format!("models check --model {} --prompt drums --steps 40 {rest}", folder.display())
}

#[test]
fn a_check_tells_every_layer_the_agreement_and_what_to_choose() {
    let told = Place::new().ok(&line("--precision q4")).stdout();
    for part in [
        "q4 weights, int8 keys and values",
        "40 columns of codes (",
        "\nlayer   weights    output  worst matrix\n    1  ",
        "\nheads  ",
        "\nchoices  ",
        " of 154 as in f32 (",
        "\nalone    the same codes for ",
        " of 40 columns (",
        "\na step   reads ",
        "choose",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn coarser_weights_have_larger_errors_and_f32_has_none() {
    let place = Place::new();
    let report = |precision: &str| place.ok(&line(&format!("--json --precision {precision}"))).json();
    let (exact, int8, q4) = (report("f32 --kv f32"), report("int8"), report("q4"));
    assert_eq!(exact["choices"]["share"], 1.0);
    assert_eq!(exact["same_columns"], 40);
    for pointer in ["/layers/0/weights", "/layers/1/output", "/heads/weights", "/heads/logits"] {
        let [exact, int8, q4] =
            [&exact, &int8, &q4].map(|report| report.pointer(pointer).and_then(serde_json::Value::as_f64));
        assert_eq!(exact, Some(0.0), "{pointer}");
        assert!(int8 > Some(0.0) && q4 > int8, "{pointer}: {int8:?} {q4:?}");
    }
    let told = place.ok(&line("--precision f32 --kv f32")).stdout();
    assert!(told.contains("(100 %)") && told.contains("what the others are measured by"), "{told}");
}

#[test]
fn a_wrong_check_says_what_is_allowed() {
    let place = Place::new();
    for (rest, message) in [
        ("--precision int7", "precision must be f32, int8 or q4, got \"int7\""),
        ("--kv q4", "kv must be f32 or int8, got \"q4\""),
        ("--steps 5", "steps must be in 10..=1500, got 5"),
        ("--guidance 0", "guidance must be in [1, 20], got 0"),
    ] {
        let ran = place.run(&line(rest));
        assert_eq!(ran.code(), 2, "{rest}: {}", ran.stderr());
        assert!(ran.stderr().contains(message), "{rest}: {}", ran.stderr());
    }
    let ran = place.run("models check musicgen-small");
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    assert!(ran.stderr().contains("partita models pull musicgen-small"), "{}", ran.stderr());
    place.write("config.json", b"{}");
    let ran = place.run("models check --model .");
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    assert!(ran.stderr().contains("config.json"), "{}", ran.stderr());
}
