//! Opens a modem's serial port by its path. Knows termios and pacing of starts; must not know AT.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_serial::{SerialPortBuilderExt as _, SerialStream};

/// Why a port cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    #[error("cannot open the port")]
    Open(#[source] tokio_serial::Error),
    #[error("cannot read from the port")]
    Read(#[source] std::io::Error),
    #[error("cannot write to the port")]
    Write(#[source] std::io::Error),
    #[error("the port does not take what is written")]
    Stuck,
    #[error("the port is closed from the other end")]
    Closed,
}

/// Opens a port: raw, 8N1, nobody else may open it. Control lines are left alone: many ports, and all pseudo-terminals, have none.
pub(crate) fn open(device: &Path, baud: u32) -> Result<SerialStream, PortError> {
    let path = device.to_string_lossy();
    tokio_serial::new(path, baud).open_native_async().map_err(PortError::Open)
}

/// Lets modems start one after the other: all at once pull a hub's voltage down.
pub(crate) struct Starter {
    turn: Semaphore,
    gap: Duration,
}

impl Starter {
    pub(crate) fn new(per_second_max: u32) -> Arc<Self> {
        Arc::new(Self { turn: Semaphore::new(1), gap: Duration::from_secs(1) / per_second_max.max(1) })
    }

    /// Waits for a turn. The first comes at once.
    pub(crate) async fn turn(self: &Arc<Self>) {
        let turn = self.turn.acquire().await.expect("the semaphore is never closed");
        turn.forget();
        let starter = self.clone();
        let until = Instant::now() + self.gap;
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            starter.turn.add_permits(1);
        });
    }
}
