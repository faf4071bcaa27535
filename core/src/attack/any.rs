//! Every attack that is made of steps along gradients.

use super::course::Steps;
use super::{Attack, Bim, Fgsm, MiFgsm, Otcm, Pgd, Target, Targeted};

/// Whichever attack of steps along gradients a user chose.
///
/// ```
/// use midge_core::attack::{AnyAttack, Attack, MiFgsm, Target, Targeted};
///
/// let attack = AnyAttack::from(MiFgsm::new(0.3));
/// assert_eq!((attack.name(), attack.target()), ("MI-FGSM", None));
/// let attack = AnyAttack::from(Targeted { attack: MiFgsm::new(0.3), target: Target::Next });
/// assert_eq!((attack.name(), attack.target()), ("targeted MI-FGSM", Some(Target::Next)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each is described with its type")]
#[non_exhaustive]
pub enum AnyAttack {
    Fgsm(Fgsm),
    Otcm(Otcm),
    Bim(Bim),
    MiFgsm(MiFgsm),
    Pgd(Pgd),
    TargetedBim(Targeted<Bim>),
    TargetedMiFgsm(Targeted<MiFgsm>),
    TargetedPgd(Targeted<Pgd>),
}

/// Each attack of [`AnyAttack`]: its type, and its name as papers write it.
macro_rules! any_attack {
    ($($variant:ident($attack:ty) $name:literal),* $(,)?) => {
        impl AnyAttack {
            /// The name as papers write it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }
        }

        impl Attack for AnyAttack {
            type Course = Steps;

            fn course(&self) -> Steps {
                match self {
                    $(Self::$variant(attack) => attack.course(),)*
                }
            }

            fn target(&self) -> Option<Target> {
                match self {
                    $(Self::$variant(attack) => attack.target(),)*
                }
            }
        }

        $(
            impl From<$attack> for AnyAttack {
                fn from(attack: $attack) -> Self {
                    Self::$variant(attack)
                }
            }
        )*
    };
}

any_attack! {
    Fgsm(Fgsm) "FGSM",
    Otcm(Otcm) "OTCM",
    Bim(Bim) "BIM",
    MiFgsm(MiFgsm) "MI-FGSM",
    Pgd(Pgd) "PGD",
    TargetedBim(Targeted<Bim>) "targeted BIM",
    TargetedMiFgsm(Targeted<MiFgsm>) "targeted MI-FGSM",
    TargetedPgd(Targeted<Pgd>) "targeted PGD",
}
