//! Names the processors that have kernels of their own.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(cortex_m_fpu)");
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| env::var(format!("CARGO_CFG_TARGET_{key}")).is_ok_and(|found| found == value);
    // Both Cortex-M targets with a hard-float ABI have at least FPv4-SP, and with it VCVTB.
    if is("ARCH", "arm") && is("OS", "none") && is("ABI", "eabihf") {
        println!("cargo::rustc-cfg=cortex_m_fpu");
    }
}
