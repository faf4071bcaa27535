//! `midge report` as a user runs it.

use std::path::Path;

use midge_trainer::weights::{DType, Weights};
use serde_json::Value;

use super::{DATA, SMALL, error, json, ok, picture, write_digits};

const REPORT: [&str; 13] = [
    "report",
    "--data",
    "synthetic",
    "--limit",
    "12",
    "--steps",
    "4",
    "--restarts",
    "2",
    "--eps",
    "0.3,0.1",
    "--out",
    "r",
];

/// A small model trained for two epochs.
fn train(folder: &Path, name: &str) {
    write_digits(folder, [600, 10]);
    ok(folder, &[&["train", "--out", name, "--network", SMALL, "--epochs", "2", "--lr", "0.1"], &DATA[..]].concat());
}

fn page(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("r/index.html")).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count"))
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is not an array"))
}

/// The values of an attribute.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn a_report_on_two_models_is_one_page_with_all_figures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    train(path, "m");
    let report = json(path, &[&REPORT[..], &["--model", "m", "--model", "plain", "--json"]].concat());
    let html = page(path);
    for id in
        ["summary", "accuracy", "robust", "checks", "examples", "targeted", "minimal", "training", "card", "costs"]
    {
        assert!(html.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    is_self_contained(&html);
    let models = array(&report["models"]);
    assert_eq!((models.len(), &models[0]["name"], &models[1]["name"]), (2, &"m".into(), &"plain".into()));
    for model in models {
        is_consistent(model);
        is_on_the_page(model, &html);
    }
    assert_eq!(array(&models[0]["training"]).len(), 2);
    assert_eq!(models[0]["card"]["trained_on"], "digits train");
    is_what_evaluate_says(path, &models[0]);
    let files: Vec<_> = attributes(&html, "href");
    assert_eq!(files.len(), 18, "{files:?}");
    for file in files {
        let file = path.join("r").join(file);
        match file.extension().unwrap().to_str().unwrap() {
            "png" => {
                let (_, pixels) = picture(&file);
                assert!(pixels.iter().any(|value| *value != pixels[0]), "{} is empty", file.display());
            }
            _ => assert!(std::fs::read_to_string(&file).unwrap().trim_end().ends_with("</svg>"), "{}", file.display()),
        }
    }
    // Alone, with the bundled model as the source of transfer that the other model was.
    let again = json(path, &[&REPORT[..], &["--model", "m", "--json", "--threads", "1"]].concat());
    for figures in ["clean", "curves", "robust", "minimal", "matrix"] {
        assert_eq!(models[0][figures], again["models"][0][figures], "one thread found other figures");
    }
}

/// Nothing is fetched, and every picture has words.
fn is_self_contained(html: &str) {
    for attribute in ["src", "href", "xlink:href", "srcset", "action", "data"] {
        for value in attributes(html, attribute) {
            assert!(!value.contains("//") || value.starts_with("data:image/png;base64,"), "{attribute}: {value:.60}");
        }
    }
    assert!(
        !html.contains("url(") && !html.contains("@import") && !html.contains("<script") && !html.contains("<link")
    );
    for tag in html.split("<img ").skip(1) {
        let tag = tag.split('>').next().unwrap();
        let alt = attributes(tag, "alt");
        assert!(alt.len() == 1 && alt[0].len() > 5, "{alt:?}");
    }
    let labels = html.split("<svg ").skip(1).filter(|tag| tag.split('>').next().unwrap().contains("aria-label=\""));
    assert_eq!((html.matches("<img ").count(), labels.count()), (48, 8));
}

/// Counts that must add up.
fn is_consistent(model: &Value) {
    let right = number(&model["clean"]["count"]);
    let binned: u64 = array(&model["minimal"]["bins"]).iter().map(|bin| number(&bin["images"])).sum();
    assert_eq!(binned + number(&model["minimal"]["not_found"]["count"]), right);
    assert_eq!(number(&model["matrix"]["all"]["of"]), 9 * right);
    let cells = array(&model["matrix"]["cells"]).iter().flat_map(array);
    let hits: u64 = cells.filter(|cell| !cell.is_null()).map(|cell| number(&cell["count"])).sum();
    assert_eq!(number(&model["matrix"]["all"]["count"]), hits);
    for curve in array(&model["curves"]) {
        let points = array(&curve["points"]);
        let eps: Vec<f64> = points.iter().map(|point| point["eps"].as_f64().unwrap()).collect();
        assert_eq!(eps, [0.0, 0.1, 0.3]);
        assert_eq!((number(&points[0]["count"]), number(&points[0]["of"])), (right, 12));
    }
    let costs: Vec<u64> = array(&model["costs"]).iter().map(|cost| number(&cost["gradients"])).collect();
    assert_eq!(costs, [1, 10, 4, 4]);
}

fn is_on_the_page(model: &Value, html: &str) {
    let shares = array(&model["robust"]["attacks"]).iter().map(|row| (row["attack"].as_str().unwrap(), &row["right"]));
    let shares = shares.chain([("none", &model["clean"]), ("worst case", &model["robust"]["worst"])]);
    let cells = |share: &Value| {
        let percent = 100.0 * share["fraction"].as_f64().unwrap();
        format!("<td class=\"n\">{percent:.2} %</td><td class=\"n\">{}/{}</td>", share["count"], share["of"])
    };
    for (attack, share) in shares {
        assert!(html.contains(&format!("<th scope=\"row\">{attack}</th>{}", cells(share))), "{attack} {share}");
    }
    for curve in array(&model["curves"]) {
        for point in array(&curve["points"]) {
            let eps = if point["eps"] == 0.0 { "0".to_string() } else { point["eps"].to_string() };
            let attack = curve["attack"].as_str().unwrap();
            let row = format!("<th scope=\"row\">{attack}</th><td class=\"n\">{eps}</td>{}", cells(point));
            assert!(html.contains(&row), "{row}");
        }
    }
    for gate in array(&model["robust"]["gates"]) {
        assert!(html.contains(gate["detail"].as_str().unwrap()), "{gate}");
    }
    for cell in array(&model["matrix"]["cells"]).iter().flat_map(array).filter(|cell| !cell.is_null()) {
        assert!(html.contains(&format!("<td class=\"n\">{}/{}</td>", cell["count"], cell["of"])), "{cell}");
    }
}

/// The report's robust evaluation is that of `midge evaluate --robust`.
fn is_what_evaluate_says(path: &Path, model: &Value) {
    let evaluate =
        ["evaluate", "--robust", "--model", "m", "--transfer-from", "plain", "--data", "synthetic", "--json"];
    let options = ["--limit", "12", "--steps", "4", "--restarts", "2", "--queries", "1000", "--eps", "0.3", "--every"];
    let evaluation = json(path, &[&evaluate[..], &options].concat());
    assert_eq!(model["robust"]["worst"]["count"], evaluation["robust_correct"]);
    assert_eq!(model["loss"], evaluation["loss"]);
    assert_eq!(model["robust"]["gates"], evaluation["gates"]);
    for (row, expected) in array(&model["robust"]["attacks"]).iter().zip(array(&evaluation["attacks"])) {
        assert_eq!((&row["attack"], &row["first"]), (&expected["attack"], &expected["first"]));
        assert_eq!(row["right"]["count"], expected["robust_correct"]);
    }
}

#[test]
fn a_report_on_one_model_says_what_is_missing_and_replaces_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    train(path, "m");
    let mut weights = Weights::load(&path.join("m")).unwrap();
    weights.metadata.clear();
    // Names come from outside.
    weights.save(&path.join("a<b>&c"), DType::F32).unwrap();
    std::fs::create_dir(path.join("r")).unwrap();
    std::fs::write(path.join("r/notes.txt"), "mine").unwrap();
    let few = ["--limit", "6", "--steps", "2", "--restarts", "1", "--eps", "0.2"];
    let report = |models: &[&str]| {
        let base = ["report", "--data", "synthetic", "--out", "r"];
        assert_eq!(ok(path, &[&base[..], &few, models].concat()).trim(), "r/index.html");
        page(path)
    };
    report(&["--model", "m", "--model", "plain"]);
    assert!(path.join("r/training-b.svg").exists());
    let html = report(&["--model", "a<b>&c"]);
    assert!(html.contains("does not say how its training went") && html.contains("not stated in the file"));
    assert!(html.contains("Transfer: images made with <code>plain</code>"), "a bundled model is the source");
    assert!(html.contains("a&lt;b&gt;&amp;c") && !html.contains("a<b>"));
    let mut files: Vec<_> = path.join("r").read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    let plots = ["accuracy-a.png", "accuracy-a.svg", "examples-a.png", "index.html", "matrix-a.png", "matrix-a.svg"];
    assert_eq!(files, [&plots[..], &["minimal-eps-a.png", "minimal-eps-a.svg", "notes.txt"]].concat());
    std::fs::write(path.join("r/index.html"), "<h1>My page</h1>").unwrap();
    let message = error(path, &["report", "--data", "synthetic", "--out", "r"]);
    assert!(message.contains("index.html") && message.contains("not a report"), "{message}");
    assert_eq!(page(path), "<h1>My page</h1>");
}

#[test]
fn a_report_shows_the_epochs_after_the_best_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_digits(path, [100, 10]);
    let train = ["train", "--out", "m", "--network", SMALL, "--epochs", "3"];
    ok(path, &[&train[..], &DATA, &["--adversarial", "pgd", "--steps", "1", "--held-out", "20"]].concat());
    let few = ["--limit", "4", "--steps", "1", "--restarts", "1", "--eps", "0.2", "--json"];
    let run = || json(path, &[&["report", "--data", "synthetic", "--out", "r", "--model", "m"], &few[..]].concat());
    let epochs = |report: &Value| array(&report["models"][0]["training"]).len();
    let report = run();
    assert_eq!(epochs(&report), 3);
    assert!(array(&report["models"][0]["training"]).iter().all(|entry| array(&entry["held_out"]).len() == 2));
    std::fs::remove_file(path.join("m.checkpoint")).unwrap();
    let report = run();
    assert_eq!(epochs(&report) as u64, number(&report["models"][0]["card"]["epochs"]));
    std::fs::write(path.join("m.checkpoint"), "rubbish").unwrap();
    let message = error(path, &[&["report", "--data", "synthetic", "--out", "r", "--model", "m"], &few[..]].concat());
    assert!(message.contains("m.checkpoint"), "{message}");
}

#[test]
fn mistakes_in_a_report_get_a_message_before_any_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("file"), "x").unwrap();
    std::fs::create_dir(path.join("foreign")).unwrap();
    std::fs::write(path.join("foreign/matrix-b.svg"), "x").unwrap();
    for (more, expected) in [
        (&["--out", "x", "--model", "plain", "--model", "plain", "--model", "plain"][..], "one or two"),
        (&["--out", "x", "--model", "missing"], "missing"),
        (&["--out", "x", "--eps", "nan"], "--eps"),
        (&["--out", "x", "--eps", "-0.1"], "--eps"),
        (&["--out", "x", "--eps", "0"], "--eps"),
        (&["--out", "x", "--robust-eps", "0"], "--robust-eps"),
        (&["--out", "x", "--robust-eps", "inf"], "--robust-eps"),
        (&["--out", "x", "--steps", "0"], "--steps"),
        (&["--out", "x", "--restarts", "0"], "--restarts"),
        (&["--out", "x", "--limit", "0"], "--limit"),
        (&["--out", "x", "--data", "missing"], "missing"),
        (&["--out", "file"], "found a file"),
        (&["--out", "file/below"], "file/below"),
        (&["--out", "foreign"], "matrix-b.svg"),
        (&[], "--out"),
    ] {
        let data: &[&str] = if more.contains(&"--data") { &[] } else { &["--data", "synthetic"] };
        let message = error(path, &[&["report"], data, more].concat());
        assert!(message.contains(expected), "{more:?}: {message}");
        assert!(!path.join("x").exists(), "{more:?} left a folder");
    }
    assert_eq!(std::fs::read(path.join("foreign/matrix-b.svg")).unwrap(), b"x");
}
