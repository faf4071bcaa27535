//! White-box attacks: small changes of an image that raise the loss.
//!
//! All are the same iterated step with different options. `eps` and `alpha` are in pixel units, where an
//! image spans [0, 1].
//!
//! | attack | steps | starts at | direction | buffer |
//! |---|---|---|---|---|
//! | [`Fgsm`] | 1 | the image | away from the label | `gradient_len` |
//! | [`Otcm`] | 1 | the image | towards a target | `gradient_len` |
//! | [`Bim`] | T | the image | away; with [`Targeted`] towards | `gradient_len` |
//! | [`MiFgsm`] | T, with momentum | the image | away; with [`Targeted`] towards | `attack_len` |
//! | [`Pgd`] | T from each start | random points | away; with [`Targeted`] towards | `gradient_len`, with restarts `attack_len` |

#[cfg(feature = "std")]
mod batch;
mod bim;
mod fgsm;
mod mi_fgsm;
mod otcm;
mod pgd;
mod quantize;
mod step;
mod targeted;

#[cfg(feature = "std")]
pub use batch::{Walk, perturb_len};
pub use bim::Bim;
pub use fgsm::Fgsm;
pub use mi_fgsm::MiFgsm;
pub use otcm::Otcm;
pub use pgd::Pgd;
pub use quantize::to_8_bits;
pub use step::{Goal, Outcome, Prediction};
pub use targeted::{Target, Targeted, least_likely};
