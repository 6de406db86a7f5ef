//! Who is calling: API keys and OMS users. Knows hashes and caches of hashes, never keeps a password.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use model::party::OmsUser;
use model::{Refusal, TenantId};
use moka::sync::Cache;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;

/// Checks passwords. A verified one is remembered as a hash keyed by a secret of this process, so that a message does not
/// cost an argon2 run; a changed password hash in the snapshot makes the memory useless at once.
#[derive(Clone)]
pub struct Passwords {
    known: Cache<[u8; 32], ()>,
    failures: Cache<[u8; 32], Arc<AtomicU32>>,
    checks: Arc<Semaphore>,
    secret: [u8; 32],
    most: FailuresMax,
    metrics: Metrics,
}

/// Failed logins within a minute.
#[derive(Clone, Copy)]
struct FailuresMax {
    /// Of one user from one address.
    pair: u32,
    /// Of one user from all addresses. Beyond it only those are held up who failed themselves.
    user: u32,
    /// From one address for all users.
    address: u32,
}

/// Whose failures are counted, as keys of the counters.
struct Culprits {
    pair: [u8; 32],
    user: [u8; 32],
    address: [u8; 32],
}

/// How a login ended.
#[derive(Clone, Debug)]
pub enum Login {
    /// Right password; the user's state still decides.
    Known(Arc<OmsUser>),
    /// Unknown user or wrong password: a caller must not learn which.
    Wrong,
}

/// A hash that no password is known for, as dear to check as those of [`hash_password`].
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Zm9yIG5vYm9keSBhdCBhbGw$c3ByaW5nIHdhdGVyIGFuZCBhIHBpbmNoIG9mIHNhbHQ";

impl Passwords {
    /// A checker with empty caches.
    #[must_use]
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let minute = Duration::from_secs(60);
        Passwords {
            known: Cache::builder().max_capacity(config.passwords_cached_max).time_to_live(60 * minute).build(),
            failures: Cache::builder().max_capacity(config.passwords_cached_max).time_to_live(minute).build(),
            checks: Arc::new(Semaphore::new(config.password_checks_max.max(1))),
            secret: rand::random(),
            most: FailuresMax {
                pair: config.failed_logins_max,
                user: config.failed_logins_user_max,
                address: config.failed_logins_address_max,
            },
            metrics,
        }
    }

    /// Checks a user's password. An unknown user costs the same work as a wrong password.
    ///
    /// Who showed the right password within the hour is never held up by the failures of others.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`] after too many failures within a minute: of this user from this address, of anybody from
    /// this address, or of this user from anywhere if some were from here.
    pub async fn check(
        &self,
        snapshot: &Snapshot,
        tenant: &TenantId,
        user_id: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Login, Refusal> {
        let user = snapshot.user(tenant, user_id).cloned();
        let hash: Arc<str> = user.as_ref().map_or(DECOY, |user| user.password_hash.as_str()).into();
        let proof = self.digest(&[tenant.as_str(), user_id, &hash, password]);
        if let (Some(user), true) = (&user, self.known.contains_key(&proof)) {
            return Ok(Login::Known(Arc::clone(user)));
        }
        let culprits = self.culprits(tenant, user_id, peer);
        if self.is_held_up(&culprits) {
            return Err(Refusal::RateLimited);
        }
        let right = self.verify(hash, password, &proof).await;
        match user.filter(|_| right) {
            Some(user) => Ok(Login::Known(user)),
            None => {
                self.count(&culprits);
                Ok(Login::Wrong)
            }
        }
    }

    /// Whether this caller may try a secret of this user other than the password.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn may_try(&self, tenant: &TenantId, user_id: &str, peer: IpAddr) -> Result<(), Refusal> {
        let is_held_up = self.is_held_up(&self.culprits(tenant, user_id, peer));
        if is_held_up { Err(Refusal::RateLimited) } else { Ok(()) }
    }

    /// Counts a wrong secret as a failed login.
    pub fn failed(&self, tenant: &TenantId, user_id: &str, peer: IpAddr) {
        self.count(&self.culprits(tenant, user_id, peer));
    }

    fn count(&self, culprits: &Culprits) {
        for culprit in [culprits.pair, culprits.user, culprits.address] {
            self.failures.get_with(culprit, Arc::default).fetch_add(1, Ordering::Relaxed);
        }
    }

    fn culprits(&self, tenant: &TenantId, user_id: &str, peer: IpAddr) -> Culprits {
        let address = peer.to_string();
        Culprits {
            pair: self.digest(&[tenant.as_str(), user_id, &address]),
            user: self.digest(&["user", tenant.as_str(), user_id, ""]),
            address: self.digest(&["address", &address]),
        }
    }

    fn is_held_up(&self, culprits: &Culprits) -> bool {
        let failures = |culprit: &[u8; 32]| self.failures.get(culprit).map_or(0, |count| count.load(Ordering::Relaxed));
        let pair = failures(&culprits.pair);
        pair >= self.most.pair
            || failures(&culprits.address) >= self.most.address
            || (pair > 0 && failures(&culprits.user) >= self.most.user)
    }

    /// One argon2 run, away from the async threads and behind a limit on how many run; what was right is remembered. None for who
    /// was found right while waiting for it: a client's connections may all begin at once.
    async fn verify(&self, hash: Arc<str>, password: &str, proof: &[u8; 32]) -> bool {
        let _permit = self.checks.acquire().await.expect("this semaphore is never closed");
        if self.known.contains_key(proof) {
            return true;
        }
        self.metrics.password_checks.increment();
        let password = password.to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| argon2::Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        let right = checked.await.unwrap_or(false);
        if right {
            self.known.insert(*proof, ());
        }
        right
    }

    /// The hash of a password, made away from the async threads and behind the same limit as the checks.
    pub async fn hash(&self, password: String) -> String {
        let _permit = self.checks.acquire().await.expect("this semaphore is never closed");
        let hashed = tokio::task::spawn_blocking(move || hash_password(&password));
        hashed.await.expect("hashing does not panic, and is not given up")
    }

    fn digest(&self, parts: &[&str]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// The argon2 hash of a password, as a PHC string.
#[must_use]
pub fn hash_password(password: &str) -> String {
    use argon2::password_hash::PasswordHasher;
    argon2::Argon2::default().hash_password(password.as_bytes()).expect("argon2 takes every password").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_costs_what_a_known_one_does() {
        let hash = hash_password("a password");
        let (known, decoy) = (PasswordHash::new(&hash).unwrap(), PasswordHash::new(DECOY).unwrap());
        assert_eq!((decoy.algorithm, decoy.version, &decoy.params), (known.algorithm, known.version, &known.params));
        let octets = |hash: &PasswordHash| hash.hash.map(|hash| hash.as_bytes().len());
        assert_eq!(octets(&decoy), octets(&known));
    }
}
