# nextstep.sh REGISTRY BROUGHT: does the first next step that certsd check prints
# for REGISTRY/busybox:latest. A command is typed as it is printed. Of a sentence
# the paths and the line that it names are used, and nothing else; what it says
# is to be had from somebody is in the directory BROUGHT: ca.crt, pair.cert,
# pair.key, line, hosts. What is to be done elsewhere does owner.sh there, who is
# told no more than the step says. A step that is not known here is a failure.
set -e
finding=$(certsd check "$1/busybox:latest" | grep -E '^(error|warning) .* -> ' | head -1)
where=$(echo "$finding" | cut -d ' ' -f 4)
where=${where%:}
step=${finding#* -> }
echo "next: $step"
command=$(echo "$step" | sed -nE 's/^(.*: )?((cat|chmod|cp|iconv|mv|openssl|sed) .*)$/\2/p')
between() { # AFTER BEFORE: what of the step is between them
	rest=${step#*"$1"}
	echo "${rest%%"$2"*}"
}
pair() { # DIRECTORY NAME
	cp "$2/pair.cert" "$1/$3.cert"
	cp "$2/pair.key" "$1/$3.key"
	chmod 600 "$1/$3.key"
}
owner() { # WHAT [ARG]
	sh "$brought/owner.sh" "$@"
}
brought=$2
case "$command/$step" in
/"put that CA's certificate into "*" if it is an intermediate CA, fix it at the server, which must send it, too: after its own certificate in the same file")
	# Which of both it is tells the certificate.
	ca=$brought/ca.crt
	if [ "$(openssl x509 -in $ca -noout -subject | cut -d = -f 2-)" = "$(openssl x509 -in $ca -noout -issuer | cut -d = -f 2-)" ]; then
		cp $ca "$(between " into " " as ")/NAME.crt"
	else
		owner append $ca
	fi
	;;
/"get the present certificate of that CA from the registry's owner, and put it into "*" as NAME.crt")
	cp "$2/ca.crt" "$(between " put it into " " beside ")/NAME.crt"
	;;
/*"have it reissued with "*": subjectAltName="*)
	owner issue "${step##*subjectAltName=}"
	;;
/"have it renewed, or set this machine's clock")
	owner renew
	;;
/"check that the server is running, that the port is right, and that no firewall is in between")
	owner start
	;;
/"look into the server's log"*)
	owner look
	;;
/*" put "*" into NO_PROXY, "*)
	echo "NO_PROXY=$(between " put " " into NO_PROXY")" >environment
	;;
/"correct the name, or the DNS of this machine ("*", "*")")
	# Without a server for names the last of these files is what there is.
	cat "$2/hosts" >>"$(between ", /" ")" | sed 's|^|/|')"
	;;
/*"create the directory "*" with that CA's certificate as NAME.crt"*)
	dir=$(between "create the directory " " with ")
	mkdir "$dir"
	cp "$2/ca.crt" "$dir/NAME.crt"
	;;
/"create "*" with NAME.cert and NAME.key, and with the CA root that signed its certificate as NAME.crt"*)
	dir=$(between "create " " with ")
	mkdir "$dir"
	cp "$2/ca.crt" "$dir/NAME.crt"
	pair "$dir" "$2" NAME
	;;
/"put that CA's certificate into "*" as NAME.crt")
	cp "$2/ca.crt" "$(between " into " " as ")/NAME.crt"
	;;
/"put NAME.cert and NAME.key into "*)
	pair "${step#* into }" "$2" NAME
	;;
/"renew it, "* | /"wait, or set this machine's clock"* | /"copy the certificate and the key again, both from the same pair")
	pair "$(dirname "$where")" "$2" "$(basename "$where" .cert)"
	;;
/"replace the file, or correct line "*)
	sed -i "${step##* }c $(cat "$2/line")" "${where%:*}"
	;;
/*)
	echo "nobody knows how to do that"
	exit 1
	;;
*)
	sh -ec "$command"
	;;
esac
