//! What there is to see of a job.

use midge_core::{Element, Grid, Model};

use super::jobs::Job;
use super::memory::{Memory, Place};
use super::pixels::Pixel;
use crate::message::Done;

/// A job that is done, for a board with a display.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'m, P> {
    /// What came of it.
    pub done: Done,
    /// What it took, in the board's [`Unit`](crate::Unit).
    pub ticks: u64,
    /// The class of the image, if the host said one.
    pub label: Option<usize>,
    /// Of a job that leaves some.
    pub logits: Option<&'m [f32]>,
    /// The pixels that are black and white.
    pub range: [f32; 2],
    image: &'m [P],
    result: Option<&'m [P]>,
    grid: Option<Grid>,
}

impl<P: Pixel> Shown<'_, P> {
    /// Pixel `index` of the image that the host put.
    pub fn image(&self, index: usize) -> Option<f32> {
        self.image.get(index).map(|pixel| pixel.value(self.grid))
    }

    /// That of the adversarial image or picture, if the job made one.
    pub fn result(&self, index: usize) -> Option<f32> {
        self.result?.get(index).map(|pixel| pixel.value(self.grid))
    }
}

impl<P: Pixel> Memory<'_, P> {
    /// What the last job left to see.
    pub(super) fn shown<T: Element>(
        &self,
        model: &Model<'_, T>,
        job: &Job,
        (done, ticks): (Done, u64),
    ) -> Shown<'_, P> {
        let left = self.left();
        let makes_image = matches!(done, Done::Attack { .. } | Done::Picture);
        Shown {
            done,
            ticks,
            label: job.label(),
            logits: left.logits.then_some(&*self.logits),
            range: model.range(),
            image: &*self.image,
            result: (makes_image && left.image == Some(Place::Result)).then_some(&*self.result),
            grid: model.grid(),
        }
    }
}
