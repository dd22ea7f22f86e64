//! A way to the node that is slow, breaks at any moment, or goes silent: the run ends converged or with 20, in time,
//! and the next one converges. By default a sample, drawn from the seed; `--all` runs a hundred cuts and every way.

use std::time::{Duration, Instant};

use super::Chooser;
use super::kills::{nothing_stuck, spoil_all};
use crate::check::{Check, During};
use crate::proxy::Proxy;
use crate::run::Monopg;
use crate::world::World;
use crate::{Case, Group, ensure};

/// Cuts in a whole run of the matrix; each fifth into a run on a bare node.
const CUTS: usize = 100;
/// A cut comes within so many milliseconds after a run has begun: about as long as one takes.
const WITHIN: u64 = 12_000;
/// A lost connection is noticed within 30 s and is tried to get back for 60 s; the last try may take its time-out.
const AT_LAST: Duration = Duration::from_secs(30 + 60 + 15);
/// The lock of a run that is dead is free within so long.
const CONVERGES_WITHIN: Duration = Duration::from_secs(60);

/// A case that is no cut.
type Way = fn(&World, &Proxy) -> Check;

/// The group.
pub fn group(choose: Chooser<'_>) -> Group {
    let cuts: Vec<&'static str> = (1..=CUTS)
        .map(|n| -> &'static str { format!("cut {n}").leak() })
        .collect();
    let mut cases: Vec<Case> = choose("cuts", &cuts, 2)
        .into_iter()
        .map(|name| Case::new(name, move |w: &World| cut(w, name)))
        .collect();
    let ways: [(&'static str, Way); 5] = [
        (
            "latency changes the time and not the number of round trips",
            latency,
        ),
        ("a narrow way is only slow", narrow),
        ("a way that is silent for a while", silent_for_a_while),
        ("a way that is silent for ever ends with 20", silent),
        (
            "the lock of a run that died behind a silent way ends",
            killed_behind_silence,
        ),
    ];
    let names: Vec<&'static str> = ways.iter().map(|(name, _)| *name).collect();
    for name in choose("ways", &names, 2) {
        for (_, way) in ways.iter().filter(|(n, _)| *n == name) {
            let way = *way;
            cases.push(Case::new(name, move |w: &World| way(w, &Proxy::start(w)?)));
        }
    }
    Group {
        name: "cuts",
        setup: |world| {
            world.installed(&world.inventory())?;
            world.database().mark("cuts")
        },
        cases,
    }
}

/// Cuts at a moment that the seed and the name give; what follows must end converged by itself, or with 20.
fn cut(world: &World, name: &str) -> Check {
    let proxy = Proxy::start(world)?;
    let bare = name.ends_with('0') || name.ends_with('5');
    if bare {
        world.node.reset()?;
    } else {
        prepared(world)?;
    }
    let inventory = proxy.way(world.inventory(), world);
    let delay = world.draw.number(name, WITHIN);
    let run = Monopg::new(world, "apply", &inventory)?.events()?;
    std::thread::sleep(Duration::from_millis(delay));
    proxy.cut()?;
    let begin = Instant::now();
    let (code, events, stderr) = run.end(world)?;
    let what = format!("a cut after {delay} ms");
    ensure!(
        code == Some(0) || code == Some(20),
        "{what}: exit {code:?}: {stderr} {}",
        last(&events)
    );
    println!(
        "    {what}: exit {}, {} s later, {}",
        code.unwrap_or(-1),
        begin.elapsed().as_secs(),
        if events.contains("step_retry") {
            "connected again"
        } else {
            "not noticed"
        }
    );
    ensure!(
        code != Some(20)
            || stderr.contains("run the same command again")
            || events.contains("run the same command again"),
        "{what}: no word on what to type: {stderr}"
    );
    converges(world, &what)?;
    if bare {
        return world.database().mark("cuts");
    }
    world.database().expect_mark("cuts")
}

fn last(events: &str) -> String {
    let lines: Vec<&str> = events.lines().collect();
    lines[lines.len().saturating_sub(4)..].join("\n")
}

/// Something for each step to do.
fn prepared(world: &World) -> Check {
    world.apply(&world.inventory())?.expect(0)?;
    world.database().await_ready()?;
    spoil_all(world)
}

/// The next run, without the proxy, ends well within a minute (a lock that is still held by a live run is not waited
/// for by monopg itself), and the one after it has nothing to do.
fn converges(world: &World, what: &str) -> Check {
    let begin = Instant::now();
    let inventory = world.inventory();
    loop {
        let out = world.apply(&inventory)?;
        if out.code == Some(44) && begin.elapsed() < CONVERGES_WITHIN {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        out.expect(0).during(format!("the run after {what}"))?;
        break;
    }
    world
        .apply(&inventory)?
        .expect_changed(false)
        .during(format!("the second run after {what}"))?;
    world.database().await_ready()?;
    nothing_stuck(world)?;
    let left = world.node.run(
        "find / -xdev -name '.monopg-upload.*' -o -path /run/monopg/upload.\\* 2>/dev/null | head",
    )?;
    ensure!(left.trim().is_empty(), "{what} left {left}");
    Ok(())
}

fn latency(world: &World, proxy: &Proxy) -> Check {
    let inventory = proxy.way(world.inventory(), world);
    world.apply(&inventory)?.expect(0)?;
    let mut trips = Vec::new();
    for milliseconds in [0, 50, 200] {
        proxy.heal()?;
        proxy.latency(milliseconds)?;
        let out = world.apply(&inventory)?;
        out.expect_changed(false)?;
        let count = out.host()["round_trips"].as_u64();
        println!(
            "    {milliseconds} ms: {:.2} s, {} round trips",
            out.took.as_secs_f32(),
            count.unwrap_or(0)
        );
        trips.push(count);
    }
    ensure!(
        trips[0].is_some_and(|n| n > 0 && n <= 3) && trips.iter().all(|t| *t == trips[0]),
        "round trips of a run that finds nothing to do: {trips:?}"
    );
    Ok(())
}

fn narrow(world: &World, proxy: &Proxy) -> Check {
    prepared(world)?;
    proxy.bandwidth(1500)?;
    let out = world.apply(&proxy.way(world.inventory(), world))?;
    println!("    1500 KiB/s: {:.0} s", out.took.as_secs_f32());
    out.expect_changed(true)?;
    converges(world, "a narrow way")
}

/// Begins a run and stalls the way after a moment.
fn stalled(world: &World, proxy: &Proxy, name: &str) -> Check<crate::run::Events> {
    prepared(world)?;
    let run = Monopg::new(world, "apply", &proxy.way(world.inventory(), world))?.events()?;
    let delay = world.draw.number(name, WITHIN / 2);
    std::thread::sleep(Duration::from_millis(delay));
    proxy.stall()?;
    println!("    silent after {delay} ms");
    Ok(run)
}

fn silent_for_a_while(world: &World, proxy: &Proxy) -> Check {
    let run = stalled(world, proxy, "while")?;
    std::thread::sleep(Duration::from_secs(40));
    // What is stalled now is cut; a new connection is let through.
    proxy.heal()?;
    let (code, events, stderr) = run.end(world)?;
    ensure!(code == Some(0), "exit {code:?}: {stderr} {}", last(&events));
    converges(world, "a way that was silent for a while")
}

fn silent(world: &World, proxy: &Proxy) -> Check {
    let run = stalled(world, proxy, "ever")?;
    let begin = Instant::now();
    let (code, events, stderr) = run.end(world)?;
    let took = begin.elapsed();
    println!("    ended after {} s", took.as_secs());
    ensure!(
        code == Some(20) || code == Some(0) && took < Duration::from_secs(10),
        "exit {code:?}: {stderr} {}",
        last(&events)
    );
    ensure!(took < AT_LAST, "it hung for {} s", took.as_secs());
    converges(world, "a way that is silent for ever")
}

fn killed_behind_silence(world: &World, proxy: &Proxy) -> Check {
    let mut run = stalled(world, proxy, "killed")?;
    run.kill()?;
    // The proxy keeps the connection to the node open: only the missing beats tell.
    converges(world, "a run that was killed behind a silent way")
}
