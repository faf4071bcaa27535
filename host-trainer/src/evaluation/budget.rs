//! What a suite of attacks may take.

use serde::Serialize;

/// The attacks of a suite, and how long each may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Steps of APGD, which the curve and some checks run on every image, and of PGD.
    pub steps: usize,
    /// Random starts of PGD, 0 without. From more than one it also goes for the margin, and once towards every target.
    pub restarts: usize,
    /// Whether APGD goes towards every target too.
    pub targets: bool,
    /// Queries of Square.
    pub queries: usize,
    /// Whether every attack runs on every image that is read correctly, also where another one has felled it.
    pub every: bool,
}

impl Budget {
    /// A first look.
    pub const QUICK: Self = Self { steps: 20, restarts: 0, targets: false, queries: 500, every: false };

    /// The steps and queries of AutoAttack's standard version.
    ///
    /// Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks, ICML 2020.
    pub const STANDARD: Self = Self { steps: 100, restarts: 0, targets: true, queries: 5000, every: false };

    /// A row of its own for every attack, with PGD from many starts.
    pub const FULL: Self = Self { steps: 100, restarts: 10, targets: true, queries: 5000, every: true };
}
