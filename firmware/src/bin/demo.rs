//! Digits are recognised, then misread after an invisible change, all computed on this board.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    midge_firmware::demo::run(midge_firmware::board::init())
}
