//! The same images on the host and on the board.
//!
//! Host models attack all images first. Then each image goes to a board: it reads the image, attacks it, and reads what the
//! host's attacks came to. At the end the host models read what the board's attack came to.

use midge_core::Grid;
use midge_core::attack::to_grid;
use midge_link::Cost;

use anyhow::{Context, Result};
use indicatif::ProgressBar;

use super::error::DeviceError;
use super::images::{Attacked as OnBoard, Device};
use super::integers;
use super::plan::Plan;
use super::remote::Way;
use crate::any_weights::AnyWeights;
use crate::evaluation::{Attacked, Job, logits};

/// A model on the host, and what it made of all images.
#[derive(Debug, Clone)]
pub struct Host {
    /// What it is called in tables.
    pub name: String,
    /// The model.
    pub model: AnyWeights,
    /// Its logits of the images, `[image][class]`.
    pub logits: Vec<f32>,
    /// What its attack did.
    pub attacked: Vec<Attacked>,
    /// The adversarial images as the board sees them: those of real numbers rounded to the board's grid, inside the ball.
    pub shown: Vec<Vec<f32>>,
}

impl Host {
    /// Reads and attacks all images.
    ///
    /// # Errors
    /// Those of the model, and if `stop` was set.
    pub fn measure(
        (name, model): (String, AnyWeights),
        plan: &Plan<'_>,
        stop: &std::sync::atomic::AtomicBool,
        progress: &ProgressBar,
    ) -> Result<Self> {
        let &Plan { data, labels, attack, eps, grid, in_integers, .. } = plan;
        let logits = logits(&model, data.len(), |i| data.image(i), &ProgressBar::hidden())?;
        let attacked = match &model {
            // Other attacks are made on the host, whatever the board keeps.
            AnyWeights::Int8(weights)
                if in_integers && weights.input().grid == grid && attack.at(eps).steps().is_some() =>
            {
                integers::attack(weights, plan, stop, progress)?
            }
            _ => Job { model: &model, data, labels, attack, eps }.run(stop, progress)?,
        };
        let attacked = attacked.context("stopped")?;
        let settle = |(i, attacked): (usize, &Attacked)| settled(grid, (&attacked.adversarial, data.image(i)), eps);
        let shown = attacked.iter().enumerate().map(settle).collect();
        Ok(Self { name, model, logits, attacked, shown })
    }
}

/// An image as a board with this grid sees it.
fn settled(grid: Option<Grid>, (image, clean): (&[f32], &[f32]), eps: f32) -> Vec<f32> {
    match grid {
        Some(grid) => image.iter().zip(clean).map(|(x, clean)| to_grid(grid, *x, *clean, eps)).collect(),
        None => image.to_vec(),
    }
}

/// What a board made of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Its logits of the clean image.
    pub logits: Vec<f32>,
    /// What one forward pass took.
    pub forward: Cost,
    /// The attack on itself, if it gives what that needs.
    pub own: Option<Own>,
    /// The class that it reads in the adversarial image of each host model.
    pub read: Vec<usize>,
}

/// What the attack on the board's model came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// The adversarial image.
    pub adversarial: Vec<f32>,
    /// The class that the board reads in it.
    pub class: usize,
    /// What it took.
    pub cost: Cost,
}

/// Has a board read image `index`, attack it, and read the attacks of the hosts.
///
/// # Errors
/// Those of the board.
pub fn measure(device: &mut Device, plan: &Plan<'_>, hosts: &[Host], index: usize) -> Result<Measured, DeviceError> {
    let (image, label) = (plan.data.image(index), plan.labels[index]);
    let (logits, forward) = device.logits(image)?;
    let attack = plan.attack.at_place(plan.eps, plan.data.places[index]);
    let own = match Way::of(device.client.info(), attack) {
        Some(_) => {
            let OnBoard { adversarial, outcome, cost } = device.attack(attack, (image, label))?;
            Some(Own { adversarial, class: outcome.after.class, cost })
        }
        None => None,
    };
    // An image that was seen already need not be sent again: the class is the same.
    let mut seen: Vec<(&[f32], usize)> = own.iter().map(|own| (&own.adversarial[..], own.class)).collect();
    let mut read = Vec::new();
    for shown in hosts.iter().map(|host| &host.shown[index][..]) {
        let class = match seen.iter().find(|(image, _)| *image == shown) {
            Some((_, class)) => *class,
            None => device.class(shown)?,
        };
        seen.push((shown, class));
        read.push(class);
    }
    Ok(Measured { logits, forward, own, read })
}
