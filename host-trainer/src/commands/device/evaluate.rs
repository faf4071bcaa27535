//! `midge device evaluate`

use super::Session;
use anyhow::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_session: &Session<'_>, _arguments: &Arguments) -> Result<()> { Ok(()) }
