//! Says how much a service centre takes: binds and submits as fast as the window lets it, waits for all receipts, prints the rate
//! as a line of JSON. `cargo run --release -p sim --example smsc_load -- ADDRESS [MESSAGES [WINDOW]]`

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::smpp::{
    Address, Bind, Down, Event, Kind, Mode, Outgoing, Profile, Session, Style, SubmitEnd, Ticket, Verdict,
};

/// What came of it.
#[derive(Default)]
struct Counts {
    submitted: u64,
    answered: u64,
    refused: u64,
    receipts: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("where is the service centre?")?;
    let messages: u64 = arguments.next().map_or(Ok(1_000_000), |number| number.parse())?;
    let window: usize = arguments.next().map_or(Ok(1000), |number| number.parse())?;
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let mut session = Session::new(profile(window), 1, Instant::now());
    session.opened(Instant::now());
    let (mut counts, mut bound, mut input) = (Counts::default(), false, vec![0; 256 * 1024]);
    let began = Instant::now();
    loop {
        while let Some(event) = session.poll_event() {
            match event {
                Event::Bound => bound = true,
                Event::Submitted { end: SubmitEnd::Taken { .. }, .. } => counts.answered += 1,
                Event::Submitted { .. } => counts.refused += 1,
                Event::Arrived { arrival, .. } => {
                    counts.receipts += 1;
                    session.conclude(arrival, Verdict::Kept);
                }
                Event::Odd(_) => {}
                Event::Down(down) => return Err(said(down)),
            }
        }
        if counts.receipts + counts.refused >= messages {
            break;
        }
        let now = Instant::now();
        while bound && counts.submitted < messages && session.room(now) > 0 {
            counts.submitted += 1;
            let message = message(counts.submitted)?;
            session.submit(Kind::Submit, message, Ticket(counts.submitted), now)?;
        }
        if let Some(octets) = session.poll_output() {
            stream.write_all(&octets).await?;
        }
        match stream.read(&mut input).await? {
            0 => return Err("the service centre hangs up".into()),
            octets => session.handle_input(&input[..octets], Instant::now()),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let Counts { answered, refused, receipts, .. } = counts;
    println!(
        "{{\"answered\": {answered}, \"refused\": {refused}, \"receipts\": {receipts}, \"seconds\": {seconds:.2}, \
         \"per_second\": {:.0}}}",
        messages as f64 / seconds
    );
    Ok(())
}

fn message(number: u64) -> Result<wire::smpp::Message, Box<dyn std::error::Error>> {
    let (text, to) = (format!("Your parcel {number} is here"), format!("+4477009{:05}", number % 100_000));
    let outgoing = Outgoing {
        text: &text,
        to: &to,
        reference: number as u16,
        receipt: true,
        valid_seconds: 3600,
        now_seconds: 1_800_000_000,
    };
    Ok(wire::smpp::compose(&outgoing, &Style::default())?.remove(0))
}

fn profile(window: usize) -> Profile {
    let seconds = Duration::from_secs;
    Profile {
        mode: Mode::Transceiver,
        bind: Bind {
            system_id: "load".to_owned(),
            password: String::new(),
            system_type: String::new(),
            interface_version: 0x34,
            addresses: Address::default(),
        },
        window,
        bind_wait: seconds(10),
        answer_wait: seconds(60),
        enquire_after: seconds(60),
        enquire_wait: seconds(60),
        unbind_wait: seconds(5),
        arrivals_max: 1024,
        pause_first: seconds(1),
        pause_longest: seconds(1),
        statuses: std::collections::BTreeMap::new(),
    }
}

fn said(down: Down) -> Box<dyn std::error::Error> {
    format!("the conversation is over: {down:?}").into()
}
