//! The board does over its serial line what `midge device` asks for.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    midge_firmware::serve::run(midge_firmware::board::init())
}
