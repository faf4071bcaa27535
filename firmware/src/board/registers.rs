//! Registers of chips for which there is no crate here. Each address is used by one file, and by no handler.

/// What a register says.
pub(super) fn read(address: usize) -> u32 {
    // SAFETY: the address of a register, which no other code uses at the same time.
    unsafe { (address as *const u32).read_volatile() }
}

/// Sets a register.
pub(super) fn write(address: usize, value: u32) {
    // SAFETY: as above; what a register does to the chip is the business of the file that names it.
    unsafe { (address as *mut u32).write_volatile(value) }
}
