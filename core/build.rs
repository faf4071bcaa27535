//! Names the processors that have kernels of their own.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(cortex_m_fpu)");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("TARGET").is_ok_and(|target| has_cortex_m_fpu(&target)) {
        println!("cargo::rustc-cfg=cortex_m_fpu");
    }
}

/// Whether a target is a Cortex-M with at least FPv4-SP, and with it VCVTB: both targets with a hard-float ABI. (Cortex-R
/// and Cortex-A are `arm` and `none` too, and the latter has NEON.)
pub(crate) fn has_cortex_m_fpu(target: &str) -> bool {
    let is_m = ["thumbv7em-", "thumbv8m.main-"].iter().any(|architecture| target.starts_with(architecture));
    is_m && target.ends_with("eabihf")
}
