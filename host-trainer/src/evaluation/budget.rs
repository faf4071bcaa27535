//! What a suite of attacks may take.

use serde::Serialize;

/// The attacks of a suite, and how long each may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Steps of PGD, which the curve and some checks run on every image.
    pub pgd_steps: usize,
    /// Random starts of PGD. From more than one it also goes for the margin, and once towards every target.
    pub restarts: usize,
    /// Steps of APGD.
    pub steps: usize,
    /// Whether APGD goes towards every target too.
    pub targets: bool,
    /// Queries of Square.
    pub queries: usize,
    /// Whether every attack runs on every image that is read correctly, also where another one has felled it.
    pub every: bool,
}

impl Budget {
    /// A first look.
    pub const QUICK: Self = Self { pgd_steps: 20, restarts: 1, steps: 20, targets: false, queries: 500, every: false };

    /// The steps and queries of AutoAttack's standard version.
    ///
    /// Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks, ICML 2020.
    pub const STANDARD: Self =
        Self { pgd_steps: 100, restarts: 1, steps: 100, targets: true, queries: 5000, every: false };

    /// A row of its own for every attack, with PGD from many starts.
    pub const FULL: Self = Self { pgd_steps: 100, restarts: 10, steps: 100, targets: true, queries: 5000, every: true };
}
