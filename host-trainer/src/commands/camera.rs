//! `midge camera`

use anyhow::{Result, anyhow, ensure};
use midge_core::camera::Camera;
use serde::Serialize;

use super::attack_arguments::{AttackArguments, Selected, describe, select};
use super::eps::{self, Eps};
use super::robust::cell;
use super::{TestArguments, print_json};
use crate::any_weights::AnyWeights;
use crate::data::Dataset;
use crate::evaluation::camera::{Transform, transformed};
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Attack, Share, attack_all};
use crate::progress;
use crate::weights::DType;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    test: TestArguments,
    #[command(flatten)]
    attack: AttackArguments,
    /// Largest change of a pixel, in the units of the model's input, [0, 1] unless it says otherwise, or in steps such as 2q
    #[arg(long, value_parser = eps::parse, value_name = "E", allow_negative_numbers = true)]
    eps: Eps,
    /// Standard deviation of the blur, in pixels
    #[arg(long, default_value_t = 0.5, value_name = "X", allow_negative_numbers = true)]
    blur: f32,
    /// Standard deviation of the noise, in units of [0, 1]
    #[arg(long, default_value_t = 0.05, value_name = "X", allow_negative_numbers = true)]
    noise: f32,
    /// Change of brightness, up and down, in units of [0, 1]
    #[arg(long, default_value_t = 0.1, value_name = "X", allow_negative_numbers = true)]
    brightness: f32,
    /// Pixels that the image moves down and to the right
    #[arg(long, default_value_t = 1, value_name = "N")]
    shift: usize,
    /// Exponent of the display's tone curve, 0.1 to 10; above 1 grey gets darker
    #[arg(long, default_value_t = 1.0, value_name = "X", allow_negative_numbers = true)]
    gamma: f32,
    /// Degrees by which the image turns counter-clockwise, -180 to 180
    #[arg(long, default_value_t = 0.0, value_name = "X", allow_negative_numbers = true)]
    rotation: f32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    transformation: String,
    /// Clean images read correctly after it.
    clean_accuracy: Share,
    /// Adversarial images that still fool the model, of those that did.
    still_fool: Share,
    /// The others' part (Kurakin 2017).
    destruction_rate: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Table {
    /// Type of the weights, for the attack and for what it is shown to.
    dtype: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    attack: String,
    eps: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    eps_steps: Option<f32>,
    model: &'a str,
    data: &'a str,
    seed: u64,
    /// Images left out because the target class is their own.
    left_out: usize,
    tables: Vec<Table>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    arguments.attack.check()?;
    let brightness = arguments.brightness;
    ensure!(brightness >= 0.0, "--brightness is {brightness}: expected a number from 0 to 100");
    for (_, transform) in transformations(arguments) {
        transform.camera.check().map_err(|error| anyhow!("--{error}"))?;
    }
    let model = arguments.test.model()?;
    let input = model.input();
    let eps = arguments.eps.of("--eps", &input)?;
    arguments.attack.check_for(&input)?;
    let data = arguments.test.images(&model)?.labelled()?;
    let attack = arguments.attack.attack(arguments.test.seed(), &input, &data.classes)?;
    let all = data.len();
    let labels: Vec<usize> = (0..all).map(|i| data.label(i)).collect();
    let Selected { data, .. } = select(attack, &data, &labels)?;
    let stored = stored(&model)?;
    let tables = stored.iter().map(|model| table(arguments, (attack, eps), model, &data));
    let tables = tables.collect::<Result<_>>()?;
    let report = Report {
        attack: describe(attack, &data.classes),
        eps,
        eps_steps: input.steps(eps),
        model: arguments.test.model_name(),
        data: &data.name,
        seed: arguments.test.seed(),
        left_out: all - data.len(),
        tables,
    };
    if arguments.json {
        return print_json(super::json::CAMERA, &report);
    }
    print(&report, &model);
    Ok(())
}

/// The model with each type of weights that it can have: f32 also rounded to f16, which a file of f16 weights is already.
fn stored(model: &AnyWeights) -> Result<Vec<AnyWeights>> {
    match model {
        AnyWeights::Float(weights) if weights.dtype == DType::F32 => {
            Ok(vec![model.clone(), AnyWeights::Float(weights.rounded(DType::F16)?)])
        }
        _ => Ok(vec![model.clone()]),
    }
}

/// The transformations, each by itself and then all together: the display rounds and has another tone curve, the image
/// turns, moves and blurs on its way, the sensor adds brightness and noise and rounds again. A tone curve and a turn are
/// there only if they are asked for.
fn transformations(arguments: &Arguments) -> Vec<(String, Transform)> {
    let Arguments { blur, noise, brightness, shift, gamma, rotation, .. } = *arguments;
    let none = Camera::NONE;
    let moved = Camera { down: shift as f32, right: shift as f32, ..none };
    let seed = arguments.test.seed();
    let row = |name: String, camera: Camera| (name, Transform { display: false, camera, seed });
    let mut rows = vec![
        row("none".into(), none),
        ("8 bits".into(), Transform { display: true, camera: none, seed }),
        row(format!("blur {blur}"), Camera { blur, ..none }),
        row(format!("noise {noise}"), Camera { noise, ..none }),
        row(format!("brightness +{brightness}"), Camera { brightness, ..none }),
        row(format!("brightness -{brightness}"), Camera { brightness: -brightness, ..none }),
        row(format!("shift {shift}"), moved),
    ];
    if gamma != none.gamma {
        rows.push(row(format!("gamma {gamma}"), Camera { gamma, ..none }));
    }
    if rotation != none.rotation {
        rows.push(row(format!("rotation {rotation}"), Camera { rotation, ..none }));
    }
    let camera = Camera { blur, noise, brightness, gamma, rotation, eight_bit: true, ..moved };
    rows.push(("screen and camera".into(), Transform { display: true, camera, seed }));
    rows
}

fn table(arguments: &Arguments, (attack, eps): (Attack, f32), model: &AnyWeights, data: &Dataset) -> Result<Table> {
    let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
    let transformations = transformations(arguments);
    let work = data.len() * (1 + transformations.len());
    let bar = progress::bar(work as u64, &format!("{}, {}", attack.name(), model.dtype()));
    let attacked = attack_all(model, data, &labels, attack, eps, &bar)?;
    let mut rows = Vec::new();
    for (transformation, transform) in transformations {
        let result = transformed(model, data, (&attacked, eps), &transform, &bar)?;
        let still_fool = result.still_fool;
        let destruction_rate = still_fool.fraction.map(|fraction| 1.0 - fraction);
        rows.push(Row { transformation, clean_accuracy: result.clean, still_fool, destruction_rate });
    }
    bar.finish_and_clear();
    Ok(Table { dtype: model.dtype(), rows })
}

fn print(report: &Report<'_>, model: &AnyWeights) {
    let eps = model.input().shown(report.eps);
    println!("{}  eps {eps}  model {}  {}  seed {}", report.attack, report.model, report.data, report.seed);
    if report.left_out > 0 {
        println!("{} images left out: the target is their own class", report.left_out);
    }
    for table in &report.tables {
        println!("\nweights {}", table.dtype);
        println!(
            "{:<20}{:>8}  {:<28}{:>8}  {:<28}{:>12}",
            "transformation", "clean", "images, 95 % interval", "fool", "images, 95 % interval", "destroyed"
        );
        for row in &table.rows {
            let (clean, fool) = (cell(row.clean_accuracy), cell(row.still_fool));
            println!("{:<20}{clean}{fool}{:>12}", row.transformation, super::percent(row.destruction_rate));
        }
    }
    if matches!(model, AnyWeights::Float(weights) if weights.dtype == DType::F16) {
        println!("\nThe model file holds f16 weights, so there is no table for f32.");
    }
    println!(
        "fool: adversarial images that still fool the model, of those that did before and whose clean image is read correctly"
    );
}
