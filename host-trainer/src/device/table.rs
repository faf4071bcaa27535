//! What hosts and board made of the same images, counted.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::loss::argmax;
use midge_link::{Cost, Unit};
use serde::Serialize;

use super::evaluation::{Host, Measured};
use super::plan::Plan;
use crate::data::Dataset;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Share, read};

/// Who reads images or makes adversarial ones.
#[derive(Debug, Serialize)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// Images that it reads correctly.
    pub right: Share,
    /// For each maker of adversarial images, those that it reads correctly before and after; nothing of a maker that cannot.
    pub robust: Vec<Option<Share>>,
}

/// How much of what the board says a host says too.
#[derive(Debug, Serialize)]
pub struct Agreement {
    /// The host's name.
    pub name: String,
    /// Clean images of which both say the same class.
    pub clean: Share,
    /// Images of which both say the same class, clean and in every adversarial form that both saw.
    pub all: Share,
    /// Largest difference of a logit.
    pub logits: f32,
    /// Adversarial images of which both made the same, to the bit.
    pub adversarial: Option<Share>,
    /// Pixels in which they differ, on average over the images.
    pub pixels: Option<f64>,
}

/// What a job took on the board.
#[derive(Debug, Serialize)]
pub struct JobCost {
    /// Which job.
    pub job: &'static str,
    /// Mean number of ticks.
    pub ticks: u64,
    /// What ticks are.
    pub unit: &'static str,
    /// Most bytes of stack.
    pub stack_bytes: u32,
}

/// The whole result.
#[derive(Debug, Serialize)]
pub struct Table {
    /// Images.
    pub samples: usize,
    /// The hosts, then the board; they are the makers of adversarial images too.
    pub readers: Vec<Reader>,
    /// One for each host.
    pub agreement: Vec<Agreement>,
    /// Of a forward pass, and of the attack if the board can.
    pub costs: Vec<JobCost>,
}

/// The classes that somebody reads: clean, and in the adversarial images of each maker.
struct Classes {
    clean: Vec<usize>,
    under: Vec<Option<Vec<usize>>>,
}

impl Table {
    /// The board as a reader, which is the last.
    pub fn board(&self) -> Option<&Reader> {
        self.readers.last()
    }

    /// How much the host with the board's type of weights agrees, which is the last of the hosts.
    pub fn closest(&self) -> Option<&Agreement> {
        self.agreement.last()
    }
}

impl Reader {
    /// Robust against the attack that the reader made itself, or, of a board that makes none, the closest host.
    pub fn own(&self, place: usize) -> Option<Share> {
        self.robust.get(place).copied().flatten().or_else(|| self.robust.get(place.checked_sub(1)?).copied().flatten())
    }
}

/// Counts what became of the images `done`, which are numbers of images with the board's results.
///
/// # Errors
/// Those of the host models.
pub fn count(plan: &Plan<'_>, hosts: &[Host], done: &[(usize, &Measured)], unit: Unit) -> Result<Table> {
    let labels: Vec<usize> = done.iter().map(|(index, _)| plan.labels[*index]).collect();
    let mut all = Vec::new();
    for host in hosts {
        all.push((host.name.clone(), host_classes(plan, hosts, host, done)?));
    }
    all.push(("device".to_string(), device_classes(hosts.len(), done)));
    let (_, board) = &all[hosts.len()];
    let agreement = hosts.iter().zip(&all).map(|(host, (_, ours))| agreement(host, (ours, board), done));
    Ok(Table {
        samples: done.len(),
        agreement: agreement.collect(),
        readers: all.iter().map(|(name, classes)| reader(name, classes, &labels)).collect(),
        costs: costs(done, unit),
    })
}

fn reader(name: &str, classes: &Classes, labels: &[usize]) -> Reader {
    let is_right = |i: usize| classes.clean[i] == labels[i];
    let right = (0..labels.len()).filter(|i| is_right(*i)).count();
    let robust = classes.under.iter().map(|under| {
        let under = under.as_ref()?;
        let robust = (0..labels.len()).filter(|i| is_right(*i) && under[*i] == labels[*i]).count();
        Some(Share::new(robust, labels.len()))
    });
    Reader { name: name.into(), right: Share::new(right, labels.len()), robust: robust.collect() }
}

fn host_classes(plan: &Plan<'_>, hosts: &[Host], host: &Host, done: &[(usize, &Measured)]) -> Result<Classes> {
    let classes = host.model.input().classes;
    let clean = done.iter().map(|(i, _)| argmax(&host.logits[i * classes..][..classes])).collect();
    let mut under = Vec::new();
    let sees_grid = host.model.input().grid.is_some();
    for maker in hosts {
        let own = |i: usize| &maker.attacked[i].adversarial;
        let images = done.iter().map(|(i, _)| if sees_grid { &maker.shown[*i] } else { own(*i) });
        under.push(Some(read_all(host, plan, images)?));
    }
    let made: Option<Vec<&Vec<f32>>> = done.iter().map(|(_, m)| m.own.as_ref().map(|own| &own.adversarial)).collect();
    under.push(made.map(|made| read_all(host, plan, made.into_iter())).transpose()?);
    Ok(Classes { clean, under })
}

fn read_all<'a>(host: &Host, plan: &Plan<'_>, images: impl Iterator<Item = &'a Vec<f32>>) -> Result<Vec<usize>> {
    let pixels: Vec<f32> = images.flatten().copied().collect();
    let count = pixels.len() / plan.data.shape.iter().product::<usize>().max(1);
    let data = Dataset::new(pixels, vec![0; count], plan.data.shape, plan.data.name.clone());
    read(&host.model, &data, &ProgressBar::hidden())
}

fn device_classes(hosts: usize, done: &[(usize, &Measured)]) -> Classes {
    let clean = done.iter().map(|(_, measured)| argmax(&measured.logits)).collect();
    let of_host = |k: usize| Some(done.iter().map(|(_, measured)| measured.read[k]).collect());
    let own = done.iter().map(|(_, measured)| measured.own.as_ref().map(|own| own.class)).collect();
    Classes { clean, under: (0..hosts).map(of_host).chain([own]).collect() }
}

fn agreement(host: &Host, (ours, board): (&Classes, &Classes), done: &[(usize, &Measured)]) -> Agreement {
    let n = done.len();
    let clean = |i: usize| ours.clean[i] == board.clean[i];
    let under = |i: usize| {
        let pairs = ours.under.iter().zip(&board.under);
        pairs.filter_map(|(ours, board)| ours.as_ref().zip(board.as_ref())).all(|(ours, board)| ours[i] == board[i])
    };
    let of = |count: usize| Share::new(count, n);
    let logits = done.iter().flat_map(|(index, measured)| {
        let ours = &host.logits[index * measured.logits.len()..];
        measured.logits.iter().zip(ours).map(|(board, ours)| (board - ours).abs())
    });
    let differing: Option<Vec<usize>> = done
        .iter()
        .map(|(index, measured)| {
            let own = measured.own.as_ref()?;
            Some(own.adversarial.iter().zip(&host.shown[*index]).filter(|(a, b)| a != b).count())
        })
        .collect();
    let differing = differing.filter(|all| !all.is_empty());
    Agreement {
        name: host.name.clone(),
        clean: of((0..n).filter(|i| clean(*i)).count()),
        all: of((0..n).filter(|i| clean(*i) && under(*i)).count()),
        // NaN is the largest difference.
        logits: logits.fold(0.0, |most, d| if most.is_nan() || d <= most { most } else { d }),
        adversarial: differing.as_ref().map(|all| of(all.iter().filter(|count| **count == 0).count())),
        pixels: differing.map(|all| all.iter().sum::<usize>() as f64 / n as f64),
    }
}

fn costs(done: &[(usize, &Measured)], unit: Unit) -> Vec<JobCost> {
    let mean = |job: &'static str, costs: Vec<Cost>| {
        // A board may say any number of ticks.
        let ticks: u128 = costs.iter().map(|cost| u128::from(cost.ticks)).sum();
        (!costs.is_empty()).then(|| JobCost {
            job,
            ticks: (ticks / costs.len() as u128) as u64,
            unit: unit_name(unit),
            stack_bytes: costs.iter().map(|cost| cost.stack).max().unwrap_or(0),
        })
    };
    let forward = done.iter().map(|(_, measured)| measured.forward).collect();
    let attack = done.iter().filter_map(|(_, measured)| Some(measured.own.as_ref()?.cost)).collect();
    [mean("forward", forward), mean("attack", attack)].into_iter().flatten().collect()
}

/// What ticks are, in words.
pub fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Instructions => "instructions",
        Unit::Cycles => "cycles",
        Unit::Microseconds => "microseconds",
    }
}
