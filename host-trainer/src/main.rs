//! The `midge` command.

fn main() -> std::process::ExitCode {
    midge_trainer::commands::run()
}
