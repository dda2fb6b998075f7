# proxy.pl PORT passes connections on to a registry on this machine, byte by byte.
# As long as there is a file /hold, it passes one MiB more, says so by a file in
# /run/held, and waits.
use strict;
use IO::Socket::INET;
use IO::Select;
mkdir "/run/held";
$SIG{CHLD} = "IGNORE";
my $listen = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 64, ReuseAddr => 1) or die $!;
open(my $port, ">", "/run/proxy.port") or die $!;
print $port $listen->sockport;
close $port;
while (my $client = $listen->accept) {
	next if fork;
	my $server = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ARGV[0]) or die $!;
	my $select = IO::Select->new($client, $server);
	my $passed = 0;
	while (1) {
		for my $from ($select->can_read) {
			my $to = $from == $client ? $server : $client;
			exit unless sysread($from, my $data, 65536);
			$passed = -e "/hold" ? $passed + ($from == $server ? length $data : 0) : 0;
			while ($passed > 1048576 and -e "/hold") {
				open(my $held, ">", "/run/held/$$");
				select(undef, undef, undef, 0.05);
			}
			unlink "/run/held/$$";
			while (length $data) {
				my $n = syswrite($to, $data) or exit;
				$data = substr($data, $n);
			}
		}
	}
}
