//! A farm without a network for a while.

use std::time::Duration;

use rand::Rng;

use crate::report::say;
use crate::siege::Siege;
use crate::support::Role;
use crate::traffic::Traffic;

/// How long it is cut off.
const CUT: Duration = Duration::from_secs(30);

/// A farm is cut off from all routers and comes back; what it had in hand it has carried on with meanwhile.
pub(crate) async fn cut(siege: &mut Siege<'_>, traffic: &Traffic) {
    let index = siege.chance.random_range(0..2);
    let pid = siege.part(Role::Farm, index).pid();
    say(&format!("farm {index} is cut off"));
    siege.wires.iter().for_each(|wire| wire.cut(pid));
    tokio::time::sleep(CUT).await;
    assert!(!siege.part(Role::Farm, index).has_ended(), "the farm ended while it was cut off");
    say("it is back");
    siege.wires.iter().for_each(crate::wire::Wire::mend);
    siege.ready(Role::Farm, index).await;
    // The second farm has the modems that the demo leaves to others.
    siege.goes_on_by(traffic, |line| line.link.contains("-outside-") == (index == 1)).await;
}
