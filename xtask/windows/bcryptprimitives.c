/* bcryptprimitives.dll for versions of Wine that have none: Rust's standard library takes its random numbers from
   ProcessPrng, which stands in this library of Windows. */

#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
    while (length > 0) {
        /* RtlGenRandom takes 32 bits of length. */
        ULONG part = length > 0x40000000 ? 0x40000000 : (ULONG)length;
        if (!RtlGenRandom(data, part)) return FALSE;
        data += part;
        length -= part;
    }
    return TRUE;
}
