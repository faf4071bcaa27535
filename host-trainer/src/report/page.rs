//! The page: the template `report.html`, filled with the same figures that `--json` prints.

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use plotters::style::RGBColor;
use serde::Serialize;

use super::figures::{Figures, Report};
use super::plots::{self, PALETTE};
use crate::drawing::Picture;
use crate::picture::{self, Example, View};
use crate::pixels::{Cells, Look, paint_change};
use crate::summary::thousands;

/// Names of the models in those of the files.
const LETTERS: [&str; 2] = ["a", "b"];

/// A page and the files beside it.
#[derive(Debug)]
pub struct Page {
    /// HTML.
    pub html: String,
    /// Names and contents.
    pub files: Vec<(String, Vec<u8>)>,
}

/// What the page shows of a model beside its figures.
#[derive(Debug, Default, Serialize)]
struct Shown {
    letter: &'static str,
    accuracy: String,
    matrix: String,
    minimal: String,
    training: String,
    examples: Vec<Equation>,
    /// Channels of the examples' images.
    channels: usize,
}

/// `clean + eps x noise = adversarial`
#[derive(Debug, Serialize)]
struct Equation {
    attack: String,
    label: usize,
    label_name: String,
    target: Option<usize>,
    target_name: String,
    clean: Tile,
    /// A data URI.
    noise: String,
    adversarial: Tile,
}

/// An image, and what the model reads.
#[derive(Debug, Serialize)]
struct Tile {
    /// A data URI.
    image: String,
    class: usize,
    /// What the class is called.
    name: String,
    confidence: f32,
}

/// A colour of the style sheet.
#[derive(Debug, Serialize)]
struct Colour {
    name: &'static str,
    light: String,
    dark: String,
}

/// Lays out the page, and draws the plots for it.
///
/// # Errors
/// Only if the program was built from a damaged template or font.
pub fn layout(report: &Report) -> Result<Page> {
    let (mut shown, mut files) = (Vec::new(), Vec::new());
    for (figures, letter) in report.models.iter().zip(LETTERS) {
        shown.push(show(figures, report, letter, &mut files)?);
    }
    let colours = PALETTE.map(|paint| Colour { name: paint.name, light: hex(paint.light), dark: hex(paint.dark) });
    let environment = environment(report.settings.quantisation_step);
    let style = environment.render_named_str(
        "report.css",
        include_str!("report.css"),
        context! { colours => Value::from(Serde(colours)) },
    );
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let context = context! {
        style => style.context("the page's style sheet")?,
        report => Value::from(Serde(report)),
        shown => Value::from(Serde(shown)),
        files => names,
        grid_end => report.settings.grid.last(),
    };
    let html = environment.render_named_str("report.html", include_str!("report.html"), context);
    Ok(Page { html: html.context("the page's template")?, files })
}

fn show(figures: &Figures, report: &Report, letter: &'static str, files: &mut Vec<(String, Vec<u8>)>) -> Result<Shown> {
    let mut shown = Shown { letter, ..Shown::default() };
    for (name, drawing) in plots::of_model(figures, report)? {
        let inline = drawing.inline(&format!("{}: {}; the figures are in the table below", figures.name, title(name)));
        match name {
            "accuracy" => shown.accuracy = inline,
            "matrix" => shown.matrix = inline,
            "minimal-eps" => shown.minimal = inline,
            _ => shown.training = inline,
        }
        files.push((format!("{name}-{letter}.svg"), drawing.svg.into_bytes()));
        files.push((format!("{name}-{letter}.png"), drawing.png));
    }
    shown.channels = figures.examples.first().map_or(1, |example| example.shape[2]);
    shown.examples = figures.examples.iter().map(equation).collect::<Result<_>>()?;
    if !figures.examples.is_empty() {
        files.push((format!("examples-{letter}.png"), picture::draw(&figures.name, &figures.examples)?.png()?));
    }
    Ok(shown)
}

/// What a plot shows, for those who cannot see it.
fn title(name: &str) -> &'static str {
    match name {
        "accuracy" => "accuracy against eps for each attack",
        "matrix" => "success of targeted attacks by true class and target",
        "minimal-eps" => "histogram of the smallest eps that fools the model",
        _ => "accuracy and loss over the epochs of the training",
    }
}

fn equation(example: &Example) -> Result<Equation> {
    let Example { attack, eps, shape, label, target, clean, adversarial, classes } = example;
    let unit = if *eps > 0.0 { *eps } else { 1.0 };
    let noise: Vec<f32> = adversarial.pixels.iter().zip(&clean.pixels).map(|(a, c)| (a - c) / unit).collect();
    let look = Look::of(*shape, &[&clean.pixels, &adversarial.pixels]);
    let tile = |view: &View| -> Result<Tile> {
        let image = data_uri(&view.pixels, *shape, |values| look.paint(values))?;
        let name = classes.name(view.class).into_owned();
        Ok(Tile { image, class: view.class, name, confidence: view.confidence })
    };
    let (clean, noise, adversarial) = (tile(clean)?, data_uri(&noise, *shape, paint_change)?, tile(adversarial)?);
    let [label_name, target_name] = [*label, target.unwrap_or(0)].map(|class| classes.name(class).into_owned());
    let (attack, label, target) = (attack.clone(), *label, *target);
    Ok(Equation { attack, label, label_name, target, target_name, clean, noise, adversarial })
}

/// Longest side of an image on the page, in pixels; a browser enlarges smaller ones.
const SIDE: usize = 448;

/// An image as a PNG file in a URI.
fn data_uri(values: &[f32], shape: [usize; 3], paint: impl Fn([f32; 3]) -> [u8; 3]) -> Result<String> {
    let [height, width, _] = shape;
    let cells = Cells::fit(shape, height.max(width).min(SIDE));
    let ((width, height), cell) = (cells.size(), cells.cell());
    let image = Picture::from_fn(width, height, |x, y| paint(cells.values(values, (x / cell.0, y / cell.1))));
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(image.png()?)))
}

fn hex(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// A mistake in the template is an error, not an empty place; numbers are written as everywhere in the program.
fn environment(step: Option<f32>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("percent", |fraction: Option<f64>| match fraction {
        Some(fraction) => format!("{:.2} %", 100.0 * fraction),
        // Nothing can be said of 0 of 0.
        None => "–".to_string(),
    });
    environment.add_filter("confidence", |fraction: f64| format!("{:.1} %", 100.0 * fraction));
    environment.add_filter("thousands", |n: u64| thousands(n));
    // An eps is an f32, whose shortest digits are those that the user typed.
    environment.add_filter("eps", |eps: f64| (eps as f32).to_string());
    // In steps of the grid, and so behind an eps.
    let in_steps = move |eps: f64| step.map(|step| format!("{}q", (1000.0 * eps as f32 / step).round() / 1000.0));
    environment.add_filter("in_steps", move |eps: f64| in_steps(eps).unwrap_or_default());
    environment.add_filter("steps", move |eps: f64| in_steps(eps).map_or(String::new(), |steps| format!(" ({steps})")));
    environment.add_filter("decimals", |x: f64, places: usize| format!("{x:.places$}"));
    environment.add_filter("passed", |gates: Vec<Value>, verdict: String| {
        let is = |gate: &&Value| gate.get_attr("verdict").is_ok_and(|found| found.as_str() == Some(&verdict));
        gates.iter().filter(is).count()
    });
    environment
}
