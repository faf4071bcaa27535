//! White-box attacks: small changes of an image that raise the loss.
//!
//! All are the same iterated step with different options. `eps` and `alpha` are in pixel units, where an
//! image spans [0, 1].

mod fgsm;
mod mi_fgsm;
mod otcm;
mod quantize;
mod step;

pub use fgsm::Fgsm;
pub use mi_fgsm::MiFgsm;
pub use otcm::{Otcm, Target};
pub use quantize::to_8_bits;
pub use step::{Outcome, Prediction};
