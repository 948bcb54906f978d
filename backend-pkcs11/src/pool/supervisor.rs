//! The thread that watches the others: it starts them, ends requests whose time is over,
//! gives up threads whose call does not return, and lets another token have what takes long.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::check::Checker;
use super::queue::{AtPlace, AtWorker, Breaker, Queue};
use super::worker::Worker;
use super::{Pool, lock};
use crate::error::Reason;
use crate::meter::Untold;
use crate::module::ModuleUse;

/// How often it looks while requests are under way, at most.
const TICK: Duration = Duration::from_millis(10);
/// How many threads a place may lose to calls that hang, before no more are started.
const MOST_HANGING: usize = 64;

/// Starts it, and the first thread of each place. It keeps the modules in use until all
/// threads have ended, and then releases them: `C_Finalize` runs here.
pub(super) fn start(pool: Arc<Pool>, modules: Vec<ModuleUse>) -> Result<(), Reason> {
    std::thread::Builder::new()
        .name("pkcs11-watch".into())
        .spawn(move || {
            let mut threads = Vec::new();
            let mut keep = || watch(&pool, &mut threads);
            // Without it there are no deadlines: whatever happens to it, it begins again.
            while catch_unwind(AssertUnwindSafe(&mut keep)).is_err() {
                std::thread::sleep(TICK);
            }
            see_off(&pool, threads);
            // Threads that hang keep their module as it is.
            drop(modules);
            *lock(&pool.end) = true;
            pool.ended.notify_all();
        })
        .map(drop)
        .map_err(|error| Reason::Thread(error.to_string()))
}

/// Watches until the pool closes.
fn watch(pool: &Arc<Pool>, threads: &mut Vec<JoinHandle<()>>) {
    let settings = &pool.settings;
    let hedge = settings.hedge_after.unwrap_or(Duration::MAX);
    let tick = TICK
        .min(settings.deadline / 4)
        .min(settings.hang_limit / 4)
        .min(hedge / 4)
        .max(Duration::from_millis(1));
    let mut queue = lock(&pool.queue);
    while !queue.closed {
        let now = Instant::now();
        let mut expired = queue.expired(now);
        let checked = queue.checks.under_way.values();
        expired.extend(checked.filter(|request| request.deadline <= now).cloned());
        let mut stuck = Vec::new();
        let mut wake = false;
        let elsewhere: Vec<bool> = (0..queue.places.len())
            .map(|place| queue.up_elsewhere(place))
            .collect();
        let mut slow = Vec::new();
        for (index, (at, elsewhere)) in queue.places.iter_mut().zip(elsewhere).enumerate() {
            inspect(
                at,
                now,
                settings.hang_limit,
                &mut expired,
                &mut stuck,
                index,
            );
            let Some(place) = pool.places.get(index) else {
                continue;
            };
            at.leave_behind(now, settings.hang_limit);
            if elsewhere {
                for state in at.workers.values() {
                    if let (Some(since), Some(request)) = (state.since, &state.request)
                        && now.saturating_duration_since(since) >= hedge
                        && request.hedge(index)
                    {
                        slow.push((place, request.clone()));
                    }
                }
            }
        }
        let mut counts = Vec::new();
        for (place, request) in slow {
            queue.push(request);
            counts.push(place.meter.hedged.count());
            wake = true;
        }
        for (index, request) in stuck {
            let at = pool.places.get(index);
            if let Some(place) = at {
                counts.push(place.meter.abandoned.count());
            }
            // Also if it had no request: it tried the token, which the others leave alone
            // meanwhile, and one of them has to go on.
            wake = true;
            // Another thread may try, or another token.
            if let Some(request) = request
                && !request.is_over()
            {
                let elsewhere = queue.up_elsewhere(index);
                request.set_avoid(elsewhere.then_some(index));
                queue.push(request);
            }
        }
        let in_vain = pool.in_vain(&queue);
        let in_vain = in_vain.map(|error| (queue.drain(), error));
        let lied_to = pool.lied_to(&mut queue);
        threads.retain(|thread: &JoinHandle<()>| !thread.is_finished());
        for index in 0..queue.places.len() {
            start_threads(pool, &mut queue, index, threads);
        }
        start_checker(pool, &mut queue, threads);
        // At a place that is not used, a thread tries the token by and by, and may hang in it.
        let busy = queue.len() > 0
            || !queue.checks.under_way.is_empty()
            || queue.places.iter().any(|at| {
                at.breaker != Breaker::Closed
                    || !at.leaving.is_empty()
                    || at.workers.values().any(|state| state.since.is_some())
            });
        queue.watched = busy;
        let queued = queue.len();
        let now: Vec<_> = queue.places.iter().map(AtPlace::now).collect();
        // What follows runs other people's code.
        drop(queue);
        for (waiting, error) in in_vain.into_iter().chain(lied_to) {
            pool.give_up(waiting, &error);
        }
        counts.into_iter().for_each(Untold::tell);
        finish(pool, expired);
        if wake {
            pool.wake_all();
        }
        pool.meter.publish(queued);
        for (place, now) in pool.places.iter().zip(&now) {
            place.meter.publish(now);
        }
        queue = lock(&pool.queue);
        if queue.closed {
            break;
        }
        queue = if queue.watched {
            let waited = pool.watch.wait_timeout(queue, tick);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = pool.watch.wait(queue);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
    }
}

/// Waits for the threads to end.
fn see_off(pool: &Pool, threads: Vec<JoinHandle<()>>) {
    let mut queue = lock(&pool.queue);
    // Those that are inside come out by themselves, unless they hang.
    let until = Instant::now() + pool.settings.hang_limit;
    while queue.threads > 0 {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let waited = pool.watch.wait_timeout(queue, left);
        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    let all = queue.threads == 0;
    drop(queue);
    // They have left the token, but what modules keep for a thread is destroyed when it ends;
    // that must not meet `C_Finalize`, or the end of the process.
    for thread in threads {
        if all || thread.is_finished() {
            let _ = thread.join();
        }
    }
}

type Requests = VecDeque<Arc<super::Request>>;

/// Looks at the threads of a place: adds requests whose time is over to `expired`, and
/// takes out threads that hang, with what they had, into `stuck`.
fn inspect(
    at: &mut AtPlace,
    now: Instant,
    hang_limit: Duration,
    expired: &mut Requests,
    stuck: &mut Vec<(usize, Option<Arc<super::Request>>)>,
    index: usize,
) {
    let mut hanging = Vec::new();
    for (number, state) in &at.workers {
        if let Some(request) = &state.request
            && request.deadline <= now
        {
            expired.push_back(request.clone());
        }
        if state
            .since
            .is_some_and(|since| now.saturating_duration_since(since) >= hang_limit)
        {
            hanging.push(*number);
        }
    }
    for number in hanging {
        let Some(state) = at.workers.remove(&number) else {
            continue;
        };
        at.hanging += 1;
        at.failures += 1;
        if state.request.is_some() {
            at.running -= 1;
        }
        // It was the one that tried the token; or several hang in a row, and more would.
        if state.request.is_none() || at.failures >= 3 && at.breaker == Breaker::Closed {
            at.breaker = Breaker::Open(now + hang_limit);
            at.trouble.get_or_insert(Reason::Hanging(at.hanging));
        }
        stuck.push((index, state.request));
    }
}

/// Ends requests whose time is over. One that is inside the token goes on there, and its
/// result is thrown away.
fn finish(pool: &Pool, expired: Requests) {
    for request in expired {
        let limit = pool.settings.deadline.as_secs_f64();
        let error = pool.unavailable(format_args!("not done within {limit} s"));
        request.refuse(error, &pool.meter.expired);
    }
}

/// Starts threads at a place that needs them.
fn start_threads(
    pool: &Arc<Pool>,
    queue: &mut Queue,
    index: usize,
    threads: &mut Vec<JoinHandle<()>>,
) {
    loop {
        let Some(at) = queue.places.get(index) else {
            return;
        };
        if !queue.wants_thread(at) || at.hanging >= MOST_HANGING {
            return;
        }
        // As many as have work: each takes one request.
        let most = queue.len().max(1);
        let Some(at) = queue.places.get_mut(index) else {
            return;
        };
        let is_fresh = |state: &&AtWorker| state.since.is_none() && !state.checking;
        let fresh = at.workers.values().filter(is_fresh);
        if fresh.count() >= most {
            return;
        }
        let worker = Worker {
            pool: pool.clone(),
            place: index,
            number: at.worker(),
        };
        let number = worker.number;
        let started = std::thread::Builder::new()
            .name("pkcs11-sign".into())
            .spawn(move || worker.run());
        let Ok(thread) = started else {
            // Out of threads for now; the next look tries again.
            at.workers.remove(&number);
            return;
        };
        threads.push(thread);
        queue.threads += 1;
    }
}

/// Starts a thread that checks, if those there are behind.
fn start_checker(pool: &Arc<Pool>, queue: &mut Queue, threads: &mut Vec<JoinHandle<()>>) {
    if !queue.checks.wants_thread() {
        return;
    }
    queue.checks.behind = false;
    let checker = Checker(pool.clone());
    let started = std::thread::Builder::new()
        .name("pkcs11-check".into())
        .spawn(move || checker.run());
    // Without one, whoever makes something checks it.
    if let Ok(thread) = started {
        threads.push(thread);
        queue.threads += 1;
        queue.checks.threads += 1;
    }
}
