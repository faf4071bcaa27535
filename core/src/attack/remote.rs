//! One image, and a model that is somewhere else: the attack is here, what it asks for is there.

use core::slice;
use std::vec;
use std::vec::Vec;

use super::course::Course;
use super::goal::{Goal, Outcome, Prediction};
use super::target::{Target, least_likely};
use super::walk::{Gradients, Walk};
use crate::error::Error;
use crate::kernels::int8::Grid;
use crate::loss::Loss;
use crate::network::Shape;

/// A model that is asked for logits, and perhaps for gradients: at the end of a line, or in another program.
///
/// ```
/// use midge_core::attack::{Attack, Remote, Square};
/// use midge_core::loss::Loss;
/// use midge_core::{Error, Grid, Shape};
///
/// /// Its logits are the two pixels.
/// struct Pixels;
///
/// impl Remote for Pixels {
///     fn input(&self) -> Shape {
///         Shape::hwc(1, 2, 1)
///     }
///
///     fn classes(&self) -> usize {
///         2
///     }
///
///     fn range(&self) -> [f32; 2] {
///         [0.0, 1.0]
///     }
///
///     fn grid(&self) -> Option<Grid> {
///         None
///     }
///
///     fn logits(&mut self, image: &[f32], logits: &mut [f32]) -> Result<(), Error> {
///         logits.copy_from_slice(image);
///         Ok(())
///     }
/// }
///
/// let mut adversarial = [0.0; 2];
/// let outcome = Square { queries: 20, ..Square::new(0.2, 1) }.attack_remote(&mut Pixels, (&[0.6, 0.4], 0), &mut adversarial)?;
/// assert_eq!((outcome.before.class, outcome.after.class), (0, 1));
/// # Ok::<(), Error>(())
/// ```
pub trait Remote {
    /// The shape of an image.
    fn input(&self) -> Shape;

    /// The number of logits.
    fn classes(&self) -> usize;

    /// The smallest and the largest pixel.
    fn range(&self) -> [f32; 2];

    /// The points on which the pixels of a network of integers lie.
    fn grid(&self) -> Option<Grid>;

    /// Writes the logits of an image.
    ///
    /// # Errors
    /// Whatever prevents it; [`Error::Stopped`] where none of the others says it.
    fn logits(&mut self, image: &[f32], logits: &mut [f32]) -> Result<(), Error>;

    /// Writes logits of an image, and the gradient of the loss at a class with respect to its pixels. A model that gives no gradient
    /// need not write this.
    ///
    /// # Errors
    /// Those of [`Self::logits`].
    fn gradient(
        &mut self,
        _at: (Loss, usize),
        _image: &[f32],
        _logits: &mut [f32],
        _gradient: &mut [f32],
    ) -> Result<(), Error> {
        Err(Error::Stopped)
    }
}

/// The model at the place of one walk.
struct Asked<'m, M> {
    model: &'m mut M,
    loss: Loss,
    logits: Vec<f32>,
    gradient: Vec<f32>,
}

impl<M: Remote> Gradients for Asked<'_, M> {
    fn gradients(
        &mut self,
        walks: &mut [Walk<'_>],
        mut follow: impl FnMut(usize, &mut Walk<'_>, (&[f32], &[f32])),
    ) -> Result<(), Error> {
        let Some(walk) = walks.first_mut() else { return Ok(()) };
        let Self { model, loss, logits, gradient } = self;
        let class = walk.goal().class();
        model.gradient((*loss, class), walk.adversarial(), logits, gradient)?;
        if !gradient.iter().all(|g| g.is_finite()) {
            return Err(Error::NotFinite { what: "gradient" });
        }
        follow(0, walk, (gradient, logits));
        let loss = loss.value(logits, class);
        walk.see_clean(|| Prediction::of(logits, loss));
        Ok(())
    }

    /// A model that is to be asked no more says so itself.
    fn check_stop(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn look(&mut self, walks: &mut [Walk<'_>], mut see: impl FnMut(&mut Walk<'_>, Prediction)) -> Result<(), Error> {
        let Some(walk) = walks.first_mut() else { return Ok(()) };
        self.model.logits(walk.adversarial(), &mut self.logits)?;
        let loss = self.loss.value(&self.logits, walk.goal().class());
        see(walk, Prediction::of(&mut self.logits, loss));
        Ok(())
    }

    fn input(&self) -> Shape {
        self.model.input()
    }

    fn range(&self) -> [f32; 2] {
        self.model.range()
    }

    fn settle(&self, eps: f32, walks: &mut [Walk<'_>]) {
        if let Some(grid) = self.model.grid() {
            walks.iter_mut().for_each(|walk| walk.settle(grid, eps));
        }
    }
}

/// All of an attack.
pub(super) fn attack<C: Course>(
    (course, target): (C, Option<Target>),
    model: &mut impl Remote,
    (image, label): (&[f32], usize),
    adversarial: &mut [f32],
) -> Result<Outcome, Error> {
    let (classes, pixels, range) = (model.classes(), model.input().len(), model.range());
    course.check()?;
    let (mut logits, mut gradient) = (vec![0.0; classes], Vec::new());
    // Nothing is asked about an image that is none.
    Walk::new(image, adversarial, Goal::Away(label), 0).begin((pixels, classes), range, 0)?;
    let goal = match target {
        Some(target) => Goal::Toward(target.class_or_else(classes, label, || {
            model.logits(image, &mut logits)?;
            Ok(least_likely(&logits, label))
        })?),
        None => Goal::Away(label),
    };
    let mut walk = Walk::new(image, adversarial, goal, 0);
    walk.begin((pixels, classes), range, 0)?;
    if C::NEEDS_GRADIENT {
        gradient.resize(pixels, 0.0);
    }
    let mut kept = vec![0.0; course.kept_len(pixels)];
    let mut source = Asked { model, loss: course.loss(), logits, gradient };
    course.run(&mut source, slice::from_mut(&mut walk), &mut kept)?;
    walk.end()
}

#[cfg(test)]
mod tests {
    use super::super::{AnyAttack, Apgd, Attack, Bim, MiFgsm, Pgd, Square, Targeted};
    use super::*;
    use crate::kernels::int8::Grid;
    use crate::model::{Int8Tensors, Model};
    use crate::network::{Layer, Network};
    use crate::pass::Element;

    const NETWORK: Network =
        Network::new(Shape::hwc(2, 3, 1), &[Layer::Flatten, Layer::Dense { units: 3, bias: true }]);
    const INT8: Network = NETWORK.int8();
    const IMAGE: [f32; 6] = [0.5, 0.25, 1.0, 0.75, 0.0, 0.125];

    /// A model that is here after all, and how often it was asked for logits and for gradients.
    struct Here<'m, 'w, T: Element>(&'m Model<'w, T>, [usize; 2]);

    impl<T: Element> Remote for Here<'_, '_, T> {
        fn input(&self) -> Shape {
            self.0.network().input()
        }

        fn classes(&self) -> usize {
            self.0.network().classes()
        }

        fn range(&self) -> [f32; 2] {
            self.0.range()
        }

        fn grid(&self) -> Option<Grid> {
            self.0.grid()
        }

        fn logits(&mut self, image: &[f32], logits: &mut [f32]) -> Result<(), Error> {
            self.1[0] += 1;
            let mut buffer = vec![0.0; self.0.network().inference_len()];
            logits.copy_from_slice(self.0.logits(image, &mut buffer)?);
            Ok(())
        }

        fn gradient(
            &mut self,
            (loss, class): (Loss, usize),
            image: &[f32],
            logits: &mut [f32],
            gradient: &mut [f32],
        ) -> Result<(), Error> {
            self.1[1] += 1;
            let mut buffer = vec![0.0; self.0.gradient_len()];
            let found = self.0.loss_gradient(loss, image, class, &mut buffer)?;
            logits.copy_from_slice(found.logits);
            gradient.copy_from_slice(found.gradient);
            Ok(())
        }
    }

    /// The attack is that of the model itself, to the bit; returns how often the model was asked.
    fn check(model: &Model<'_, impl Element>, attack: impl Attack) -> [usize; 2] {
        let mut here = Here(model, [0; 2]);
        let mut buffer = vec![0.0; attack.buffer_len(model)];
        let [mut expected, mut found] = [[f32::NAN; 6]; 2];
        let outcome = attack.attack(model, &IMAGE, 1, &mut expected, &mut buffer).unwrap();
        assert_eq!(attack.attack_remote(&mut here, (&IMAGE, 1), &mut found), Ok(outcome));
        assert_eq!(found, expected);
        assert_ne!(found, IMAGE);
        here.1
    }

    fn check_all(model: &Model<'_, impl Element>) {
        let square = Square { queries: 60, ..Square::new(0.125, 3) };
        // The clean image is the first question; an image that has arrived is asked about no more.
        let [looks, gradients] = check(model, square);
        assert!((2..=61).contains(&looks) && gradients == 0, "{looks} {gradients}");
        let towards = Targeted { attack: square, target: Target::LeastLikely };
        assert_eq!(check(model, towards)[1], 0);
        let any: [AnyAttack; 3] = [
            MiFgsm::new(0.125).into(),
            Pgd { restarts: 3, ..Pgd::with_steps(0.0625, 4, 9) }.into(),
            Targeted { attack: Bim::new(0.125), target: Target::LeastLikely }.into(),
        ];
        any.into_iter().for_each(|attack| assert_ne!(check(model, attack)[1], 0));
        assert_ne!(check(model, Apgd { steps: 20, ..Apgd::new(0.125, 5) })[1], 0);
    }

    #[test]
    fn wherever_the_model_is_the_attack_is_the_same() {
        let weights =
            [0.5, -1.0, 0.25, 1.5, 0.5, -0.75, -0.5, 1.0, 0.0, 0.75, -0.25, 1.0, 1.0, 0.5, -1.0, 0.25, 2.0, 0.5];
        check_all(&Model::<f32>::from_tensors(&NETWORK, &[&weights, &[0.1, 0.2, -0.1]]).unwrap());
        let tensors = Int8Tensors {
            weights: &[64, -128, 32, -64, 96, 16, 48, -32, -64, 127, 32, 64, 5, -90, 70, 20, -20, 30],
            bias: &[10, -20, 30],
            multipliers: &[[1 << 30, -5]; 3],
            range: &[-128, 0, 0, -128, 127],
            scales: &[1.0 / 128.0, 0.25],
        };
        check_all(&Model::from_int8_tensors(&INT8, &[tensors]).unwrap());
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_asked() {
        let model = Model::<f32>::from_tensors(&NETWORK, &[&[0.5; 18], &[0.0; 3]]).unwrap();
        let mut here = Here(&model, [0; 2]);
        let square = Square::new(0.1, 0);
        let mut run = |attack: Square, image: &[f32], label| {
            attack.attack_remote(&mut here, (image, label), &mut [0.0; 6]).unwrap_err()
        };
        assert_eq!(run(Square { queries: 0, ..square }, &IMAGE, 0), Error::NoSteps);
        assert_eq!(run(square, &IMAGE, 3), Error::Class { class: 3, classes: 3 });
        assert_eq!(run(square, &IMAGE[1..], 0), Error::Length { what: "image", expected: 6, found: 5 });
        assert!(matches!(run(square, &[2.0; 6], 0), Error::Pixel { .. }));
        let towards = Targeted { attack: square, target: Target::Class(1) };
        let refused = towards.attack_remote(&mut here, (&IMAGE, 1), &mut [0.0; 6]);
        assert_eq!((refused, here.1), (Err(Error::TargetIsLabel { class: 1 }), [0; 2]));
    }
}
