# Dovecot (Pigeonhole) runs this for every mail it delivers (`sieve_before`), whatever scripts users have of their own:
#
#   protocol lmtp { mail_plugins = $mail_plugins sieve }
#   plugin {
#     sieve_plugins = sieve_extprograms
#     sieve_global_extensions = +vnd.dovecot.execute
#     sieve_execute_bin_dir = /usr/lib/carillon          # `carillon-notify` and its settings
#     sieve_before = /etc/dovecot/carillon.sieve
#   }
require ["vnd.dovecot.execute", "envelope", "variables"];

if envelope :matches "to" "*" {
    execute "carillon-notify" ["${1}", "INBOX", "add", "1"];
}
