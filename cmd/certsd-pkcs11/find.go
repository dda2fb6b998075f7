package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"
)

// slot returns the token's slot.
func (k *key) slot() (uint, error) {
	slots, err := k.ctx.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("cannot list the tokens: %w", err)
	}
	var found []uint
	var there []string
	for _, slot := range slots {
		info, err := k.ctx.GetTokenInfo(slot)
		if err != nil || info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue // just removed, or not initialized
		}
		there = append(there, fmt.Sprintf("%q", strings.TrimSpace(info.Label)))
		if k.isToken(slot, info) {
			found = append(found, slot)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return 0, fmt.Errorf("%d tokens match, of %s: name one by its serial number", len(found), strings.Join(there, ", "))
	case len(there) == 0:
		return 0, errors.New("there is no token: is it plugged in?")
	}
	return 0, fmt.Errorf("the token is not there, only %s: is it plugged in?", strings.Join(there, ", "))
}

func (k *key) isToken(slot uint, info pkcs11.TokenInfo) bool {
	is := func(want, have string) bool { return want == "" || want == strings.TrimRight(have, " \x00") }
	return is(k.uri.Token, info.Label) && is(k.uri.Manufacturer, info.ManufacturerID) && is(k.uri.Model, info.Model) &&
		is(k.uri.Serial, info.SerialNumber) && (k.uri.SlotID == nil || *k.uri.SlotID == uint64(slot))
}

// maxFound bounds how many objects are considered.
const maxFound = 16

// objects returns the objects of a class that the URI names.
func (k *key) objects(class uint) ([]pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	if k.uri.Object != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, k.uri.Object))
	}
	if len(k.uri.ID) > 0 {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, k.uri.ID))
	}
	if err := k.ctx.FindObjectsInit(k.handle, template); err != nil {
		return nil, err
	}
	found, _, err := k.ctx.FindObjects(k.handle, maxFound)
	return found, errors.Join(err, k.ctx.FindObjectsFinal(k.handle))
}

// find finds the private key.
func (k *key) find() error {
	found, err := k.objects(pkcs11.CKO_PRIVATE_KEY)
	switch {
	case err != nil:
		return fmt.Errorf("the key cannot be looked for: %w", err)
	case len(found) == 0 && k.pin == "":
		return errors.New("the token shows no such private key: does it want a PIN? Add ?pin-source=/FILE")
	case len(found) == 0:
		return errors.New("the token has no such private key")
	case len(found) > 1:
		return errors.New("the token has several such private keys: name both object and id")
	}
	attributes, err := k.ctx.GetAttributeValue(k.handle, found[0], []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, nil)})
	if err != nil {
		return fmt.Errorf("the type of the key cannot be read: %w", err)
	}
	k.kind = number(attributes[0].Value)
	if k.kind != pkcs11.CKK_RSA && k.kind != pkcs11.CKK_EC {
		return errors.New("the key is neither RSA nor ECDSA")
	}
	// Older tokens do not know the attribute.
	attributes, err = k.ctx.GetAttributeValue(k.handle, found[0], []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ALWAYS_AUTHENTICATE, nil)})
	k.always = err == nil && number(attributes[0].Value) != 0
	k.object = found[0]
	return nil
}

// number decodes a CK_ULONG or CK_BBOOL in the machine's byte order; the values of
// interest are below 256.
func number(value []byte) (n uint) {
	for i, b := range value {
		if i < 8 {
			n |= uint(b) << (8 * i)
		}
	}
	return n
}
