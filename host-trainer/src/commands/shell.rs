//! `midge completions` and `midge man`: what packagers install beside the program.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::files::write_atomically;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// Folder to write to; it is made if need be
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Prints a script that the shell reads.
pub(crate) fn completions(arguments: &Completions, mut command: Command) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "midge", &mut script);
    output::bytes(&script);
}

/// Writes one page for the command and one for each subcommand.
pub(crate) fn manual(arguments: &Manual, command: Command) -> Result<()> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    // Every subcommand has its own page, and `help` is not one that needs it.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    for subcommand in command.get_subcommands() {
        let below = subcommand.get_subcommands().filter(|below| below.get_name() != "help");
        below.chain([subcommand]).try_for_each(|subcommand| page(subcommand.clone(), folder))?;
    }
    page(command, folder)
}

fn page(command: Command, folder: &Path) -> Result<()> {
    let manual = Man::new(command);
    let mut text = Vec::new();
    manual.render(&mut text)?;
    let path = folder.join(manual.get_filename());
    write_atomically(&path, &text)?;
    println!("{}", path.display());
    Ok(())
}
