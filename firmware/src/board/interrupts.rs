//! The table of interrupts of the emulated boards; none is in use.

unsafe extern "C" {
    fn DefaultHandler();
}

/// Interrupts of the mps2-an386.
const COUNT: usize = 32;

/// The name and the section that cortex-m-rt expects.
#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vector_table.interrupts")]
static __INTERRUPTS: [unsafe extern "C" fn(); COUNT] = [DefaultHandler; COUNT];
