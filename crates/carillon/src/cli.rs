//! The command line: what may be asked of the binary. Knows words, not work.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::backup::{Backup, restore::Restore};
use crate::demo::seed;
use crate::operator::apply;
use crate::{all, doctor, inbound, issue, lanes, migrate, single};

/// A push gateway: takes text messages from many tenants and carries each to its handset, once.
///
/// Without a command it runs all roles in one process, on embedded engines under the data directory. The first start makes
/// a demo tenant, two suppliers and simulated modems, and prints how to reach them.
#[derive(Parser, Debug)]
#[command(name = "carillon", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is logged unless CARILLON_LOG says otherwise. Engines' clients tell every connection; what matters of it is told
/// again by us.
pub(crate) const LOG_FILTER: &str = "info,scylla=off,librdkafka=error";

const AFTER_HELP: &str = "\
Environment: CARILLON_LOG sets the log filter (default `info`), NO_COLOR turns colours off, and every setting can be
given as CARILLON_<SECTION>__<KEY>, for example CARILLON_GATEWAY__LISTEN.

Exit codes: 0 stopped in order, 1 failed or could not finish in time, 2 the command line is wrong.";

#[derive(Args, Debug, Clone)]
pub(crate) struct Common {
    /// Directory of the embedded engines, keys and the demo's credentials.
    #[arg(long, value_name = "DIR", default_value = "data", global = true, env = "CARILLON_DATA")]
    pub(crate) data: PathBuf,
    /// Settings (TOML); see the role's example.toml.
    #[arg(long, value_name = "FILE", global = true, env = "CARILLON_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where the role's door listens: the public doors, or for `sms-router` the one farms attach to. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR", global = true, env = "CARILLON_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where health and metrics listen.
    #[arg(long, value_name = "ADDR", global = true, env = "CARILLON_OPS_LISTEN")]
    pub(crate) ops_listen: Option<SocketAddr>,
    /// This process's name among those of its role, the same at each start.
    #[arg(long, value_name = "NAME", global = true, env = "CARILLON_NAME")]
    pub(crate) name: Option<String>,
    /// Loads and checks the settings, prints them without secrets, and exits.
    #[arg(long, global = true)]
    pub(crate) check_config: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs the HTTP front end alone: accepts, makes durable, answers.
    Gateway,
    /// Runs the router alone: plans, keeps time, dispatches, settles.
    SmsRouter,
    /// Runs a farm node: attaches to routers over mTLS and drives its links.
    ModemFarm,
    /// Issues the certificate and the settings a new farm node needs to attach.
    IssueFarm(issue::IssueFarm),
    /// Issues the certificate a router shows to farms.
    IssueRouter(issue::IssueRouter),
    /// Makes the demo in the configured engines and runs its simulated modems until stopped.
    Demo,
    /// Makes or changes tables and lanes on the configured servers, and ends.
    Migrate(migrate::Migrate),
    /// Checks the settings, the engines and the keys, and says what to mend.
    Doctor(doctor::Doctor),
    /// Shows messages from handsets that are nobody's.
    Inbound(inbound::Inbound),
    /// Shows the lanes, and what was put aside as unreadable.
    Lanes(lanes::Lanes),
    /// Brings tenants, API keys, suppliers, routes and farms to what a file says.
    Apply(apply::Apply),
    /// Copies an installation on embedded engines while it runs, and checks the copy.
    Backup(Backup),
    /// Makes a data directory from a backup.
    Restore(Restore),
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.context("cannot start the async runtime")?;
        let common = self.common;
        let code = runtime.block_on(async {
            match self.command {
                None => all::run(&common).await,
                Some(Command::Gateway) => single::gateway(&common).await,
                Some(Command::SmsRouter) => single::sms_router(&common).await,
                Some(Command::ModemFarm) => single::modem_farm(&common).await,
                Some(Command::IssueFarm(issue)) => issue.run(&common).await,
                Some(Command::IssueRouter(issue)) => issue.run(&common),
                Some(Command::Demo) => seed::run(&common).await,
                Some(Command::Migrate(migrate)) => migrate.run(&common).await,
                Some(Command::Doctor(doctor)) => doctor.run(&common).await,
                Some(Command::Inbound(inbound)) => inbound.run(&common).await,
                Some(Command::Lanes(lanes)) => lanes.run(&common).await,
                Some(Command::Apply(apply)) => apply.run(&common).await,
                Some(Command::Backup(backup)) => backup.run(&common).await,
                Some(Command::Restore(restore)) => restore.run(&common).await,
            }
        });
        // Threads that wait for the disk or a terminal must not keep a stopped process alive.
        runtime.shutdown_background();
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
