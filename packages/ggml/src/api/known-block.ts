/**
 * @file One known row of 256 weights and what the engine makes of it: the codes of every type that encodes without tables
 * taking seconds to build, and of the others too, to be decoded. Made with the engine on x64; other compilers may
 * round a search's ties differently, so codes are held to their error, and bit equality is reported, not demanded.
 */
import type { TensorType } from '@bitsmith/formats';

export const knownRowLength = 256;

/** Weights that are exact in float32: multiples of 1/64 from -50/64 to 50/64, with a slope that no grid fits. */
export function knownRow(): Float32Array {
  return Float32Array.from({ length: knownRowLength }, (_, i) => (((i * 37 + 11) % 101) - 50) / 64);
}

/** Importance of each column, exact in float32. */
export function knownImportance(): Float32Array {
  return Float32Array.from({ length: knownRowLength }, (_, i) => 1 + ((i * 5) % 7));
}

export interface KnownCodes {
  /** The encoded row, in base64. */
  readonly codes: string;
  /** Root mean square of (decoded - known) over that of the known row. */
  readonly relativeError: number;
}

/** By type, with `knownImportance`. */
export const knownCodes: Readonly<Partial<Record<TensorType, KnownCodes>>> = {
  F16: {
    codes:
      '4LgAqGA4QLcAMKA5wLSANMC5gLAAN4C4ACTAOIC2gDEAOgC0QDVguQCuwDcguAAsIDnAtQAzQLqAsgA2ALkAqkA4gLcAL4A5ALVANOC5ALHANqC4AACgOMC2ADHgOUC0ADWAuQCvgDdAuAAqADkAtoAyQDoAs8A1ILkArCA4wLcALmA5QLUANAC6gLGANsC4AKSAOAC3gDDAOYC0wDSguQCwQDdguAAo4DhAtgAyIDqAs4A1QLkArQA4ALgALUA5gLWAMyC6ALJANuC4AKhgOEC3ADCgOcC0gDTAuYCwADeAuAAkwDiAtoAxADoAtEA1YLkArsA3ILgALCA5wLUAM0C6gLIANgC5AKpAOIC3AC+AOQC1QDTguQCxwDaguAAAoDjAtgAx4DlAtAA1gLkAr4A3QLgAKgA5ALaAMkA6ALPANSC5AKwgOMC3AC5gOUC1ADQAuoCxgDbAuACkgDgAt4AwwDmAtMA0oLkAsEA3YLgAKOA4QLYAMiA6gLOANUC5AK0AOAC4AC1AOYC1gDMgugCyQDbguACoYDhAtwAwoDnAtIA0wLmAsAA3gLgAJMA4gLaAMQA6ALRANWC5AK7ANyC4ACwgOcC1ADNAuoCyADYAuQCqQDiAtwAvgDkAtUA04LkAscA2oLgAAKA4wLYAMeA5QLQANYC5AK+AN0C4ACo=',
    relativeError: 0.0,
  },
  BF16: {
    codes:
      'HL8AvQw/6L4APjQ/mL6QPji/EL7gPhC/gDwYP9C+MD5AP4C+qD4sv8C9+D4Ev4A9JD+4vmA+SL9QvsA+IL9AvQg/8L7gPTA/oL6IPjy/IL7YPhS/AAAUP9i+ID48P4i+oD4wv+C98D4Iv0A9ID/AvlA+SD9gvrg+JL+AvQQ/+L7APSw/qL6APkC/ML7QPhi/gLwQP+C+ED44P5C+mD40vwC+6D4MvwA9HD/IvkA+RD9wvrA+KL+gvQA/AL+gPSg/sL5wPkS/QL7IPhy/AL0MP+i+AD40P5i+kD44vxC+4D4Qv4A8GD/QvjA+QD+Avqg+LL/Avfg+BL+APSQ/uL5gPki/UL7APiC/QL0IP/C+4D0wP6C+iD48vyC+2D4UvwAAFD/YviA+PD+IvqA+ML/gvfA+CL9APSA/wL5QPkg/YL64PiS/gL0EP/i+wD0sP6i+gD5AvzC+0D4Yv4C8ED/gvhA+OD+Qvpg+NL8Avug+DL8APRw/yL5APkQ/cL6wPii/oL0APwC/oD0oP7C+cD5Ev0C+yD4cvwC9DD/ovgA+ND+YvpA+OL8QvuA+EL+APBg/0L4wPkA/gL6oPiy/wL34PgS/gD0kP7i+YD5Iv1C+wD4gv0C9CD/wvuA9MD+gvog+PL8gvtg+FL8AABQ/2L4gPjw/iL6gPjC/4L3wPgi/QD0=',
    relativeError: 0.0,
  },
  Q4_0: {
    codes:
      'xC7yaL0ked81m+FXrBNoziSKdK5T/Zcx24UvymQOqELsljHbxa6XQtuGL8pkHqhT7Jcx23Uvsy41iuFGrPJovSR53zWb4VesFC/RRpvyaL0kec41iuFXrPNouq51HrlT/ZdC24YvymQeqFPstC5XvRN5zjWK4Uas8mi9JHnfZy4Tac4kiuBGrPJYvRN53zWL',
    relativeError: 0.0630153,
  },
  Q4_1: {
    codes:
      'tC5huvJXvRN5zjWK4UasAmi9JHlVLu65vQNpzySK4Eas8li9E3nfNVIuxLloziSK0Dab8Ve9E3nPJIrgsy7vuSR50DWb4VesE2jOJIrQRpukLgm60DWb4VesE2jOJIrQRpvyV70u0bmK4UasAmi9JHnQNZvhV6wTWS40ule9E2nPJIrgRqzyWL0Ted9SLgO6AmjOJIrQNpvxV70Tec8kig==',
    relativeError: 0.0604588,
  },
  Q5_0: {
    codes:
      'iSq0tKUl9L9rN+KeahbSnUkVwHxI87qq0paWtKbZLnOm+05zyBtAlcgdYpVrqrSlJS0uc7f7T4PIHFCV2S1ipuo+dCqSlra0WQXBjDj0v3s34q5qFtKdSbUqpKUtbbGMN+S/ajfinWoVwp1I9cBwqpa2tKTZLWGm6i5zt/tPg8gcUJXZaipa0tKWrmom0p1ZBcGMOPS/ezfirrkqlrS0pSbRjFkEsYw35L9qN+KdahU=',
    relativeError: 0.024835,
  },
  Q5_1: {
    codes:
      'QyoeurS0pSXzv2sm4q5aFdGNSQSwfDfzbCrOuS1pSUtZFcGMSPSwezfjr2om0p1Zair6uUta2tLBjEgEsHs3469qJtKdWQXBOyohupKWtrRJBcB8OPO/aybirloW0Y1JtSpLuqQlLW2geybTrlkm0YxZBLGMN+S/Pir0uWlJS1sn4p5aFdGdSQTAfDjzr2smbCoPulrSkpaeWRXBjEj0sHs3469qJtKdaSo5upa0tKUVwYxIBLB7N+OvaibSnVkF',
    relativeError: 0.026951,
  },
  Q8_0: {
    codes:
      'TR6d+1m2FHLQLovpR6UDYb4cetc1k/FPrApoxiSB3z2a+E0eVrQScM0riedFogBeuxl31TOQ7kyqCGbDIX/cOpj2VLEsHhBvyimE40Oe/V23F3fRMYvrS6UFZb8ff9k5k/NTrQ1tLB7HJ4HhQZv7W7UVdc8vielJowNivR181zaR8FCqCmrEJE0egd89mvhWtBJwzSuJ50WiAF67GXfVM5DuTKoIZsMhf9wsHjyW9lawEG/KKYTjQ579XbcXd9Exi+tLpQVlvx9/2TmTLB7zU60NbccngeFBm/tbtRV1zy+J6UmjA2K9HXzXNpHwUE0erApoxiSB3z2a+Fa0EnDNK4nnRaIAXrsZd9UzkO5Mqgg=',
    relativeError: 0.00401655,
  },
  Q2_K: {
    codes:
      'zd/uru6szr3L3tzevL7+u2y1G2yGG3HGLLHbbLYbbYYbccYYscZsshttxhixxmixXLHLbLYbbMYbscdcsctsthttxhuhxhyxy2z2G23GG6EDKKIq',
    relativeError: 0.247375,
  },
  Q3_K: {
    codes:
      'Zs2zZtkzbJk2zJtmzbNm2U0a50yz51iz7Ri3TJrnTLPJeHPenXcmnYhr4tl4d96d2x92idwidojfIrXIH3KFyEgn4o10M96ZdyLdiGfinXhd8reYLbaLXeL3SF0it4gtZ6RwmhK3UQoA/AA/y58=',
    relativeError: 0.133499,
  },
  Q4_K: {
    codes:
      '1BaEIv/7+///+fn6vp/Lu9I3jeNJrgVqwRZ80jid9Fm/BWvBJ4zjSJ70WrAWe9InSJ4EWrAWfME3jeNJrwVqsCZ80jie41mvFWvBJ4zSSJ6gFWvBJ4zTSJ4EWrAWe8I3jeNJrgVqsSZ80jid5FmvFSeN40muBGqwFnzSN53zSa8Fa8AmjOI4nvRavxV7wSeN',
    relativeError: 0.060812,
  },
  Q5_K: {
    codes:
      '1xJrIvv8/Pr9+vz9/7rM7CbMk2bJM2SZMkyZJs2TZskzbJk2zJkmzbNm2TJsmTbMk18bxoJOCbVxPfikYCzXk18axoJO+bVxPeikYCvXk1+RXAjEgDz3s28q5qJtGdWRTQjEcDv3s34q5qJdGdWBTHAr5qNeGdaBTAnEgTz3tG8q55JdGtWSTQjFcDv4o24rXRnFgUwItHA796NuKtaSXRnFgUwItH8756JuKtaSXQk=',
    relativeError: 0.0271152,
  },
  Q6_K: {
    codes:
      'Rd8ovAafI2zwitNn8UreKF7WffV8A4sDqiK5Mbhf114mrAWNA3vxedJY0EjOJ68lg/x0HZYOty/YQLlh2lP7dNBYvze+Jq0EjAN78nrRWNDZQfpj24T7ZC2VDrcv2EG5vzWtFpsEjfJr4GnRR884vRqSLIQNhe13/1fQOLBKoitssRtsxhtxxhyxy2yyG2zG50060E03kErnkTrkTTqQTRixxmyxG2yGG3HGHLHHbLIkU/kkjvkTjvRTjSRS+SSOc395g3aFe4h9gHiFe4p8eW0K',
    relativeError: 0.01401,
  },
  IQ1_S: {
    codes: 'pSk0NNUYyQ0LBAT7lJKSdzQ0NDVGDQ0LDS4ulJSadyI0NZt2qmSCffZ22/qV9LL9/uY=',
    relativeError: 0.399582,
  },
  IQ1_M: {
    codes: 'NDQ1NckNDQ0E+5SUlJo0NDQ1yQ0LCwT7+5SUmnc0NDWzu1KtAubuM7tSogLg7ja7tq/37baf/i0=',
    relativeError: 0.374356,
  },
  IQ2_XXS: {
    codes: '8hxCQrpyy6VW63vJdMpSi4XmytihobRSq/WqqkJCrfRy6bp7e8lLrdTidHTKvRYLrfTY5qGqpVYr7apCurrp5VLb',
    relativeError: 0.318779,
  },
  IQ2_XS: {
    codes:
      'xh5El/aWtLSXtJGkkSzeLOtp62m3SxlbNltGW0TTRJf2lrSWtLSRpJEs3iyCLetpt0sZSzZbN1u700TTRJdQlrS0+a/qmv+qruo=',
    relativeError: 0.2905,
  },
  IQ2_S: {
    codes:
      'kx2uKC4vkZEOtLReentHZ7GuKC7bkZGrtF56epFnsa4oLktLWtrSkpa0tKUlLW1pSUtbWtKSlra0pKUtLWlpS0taVLX+CkXpv1Ddzt3N/t293A==',
    relativeError: 0.224495,
  },
  IQ3_XXS: {
    codes:
      'zxamgNRZ4Vn0Mdxf3omypp+mgNRZ5DL0Mdxf3sK0wp/UgNRZ5DH0X9yJsqmfpoDUWeFZ9DH0X96JtKmfpoDUWeQyy6VW+1KLhfa0Uqv1rfRy2Uut1PIWC630pVYr7enlUus=',
    relativeError: 0.134657,
  },
  IQ3_S: {
    codes:
      'eBeG8KqtrFnqYZe+l7cmBjCG8Kyt7lnqYeS3mxOihvCHpKytxlnqaJe+mxMwhvCqraxP9GHqaJe8JgYwhvCsraxZVfWqXlWvqldLS1ra0pKWtLSlJS1taUlLW1rSkpa2tKSlLS1paUtLWv7d3u4=',
    relativeError: 0.123442,
  },
  IQ4_NL: {
    codes:
      'oB7xV84Tet8km+FGvQJYzhN6I55C/ZYh7HQf2lMOuDH9liDrh56nMex1H9pTDrhC/ZYh23Qfnx4ki+A1rPFXzhN63ySb4Ua9uR7gNazxV84Tad8km+E2rfJYg55kHrlC/acx7HUf2lMOuEL9ix5HvRJp3ySL4DWt8VfOE3rfLh4Cad8Ti+A1rfFHzhJp3ySb',
    relativeError: 0.0704898,
  },
  IQ4_XS: {
    codes:
      'uYo8DNAP8DHyV84Tet8km+FGvQJYzhN6Qv2WIOx0H9pTDrgx/ZYg66cx7HUf2lMOuEL9liHbdB8ki+A1rPJXzhN63ySb4Ua94DWs8VfOE2nfJJvhNq3yWGQeuUL9pzHsdR/aUw64Qv1HvRJp3ySL4DWt8VfOE3rfAmnfE4vgNa3xR84Cad8kmw==',
    relativeError: 0.0709688,
  },
  TQ1_0: {
    codes: 'Rm3SRnrTbHpFbc9GbdNGetNsekVtz0aJ05t6KW16SG1/UXTVG3zyXXxRXtRRdNUbM5+1IEA6',
    relativeError: 0.491682,
  },
  TQ2_0: {
    codes: 'WGEWWIUWYYUYYYZYYRZYhRZhhRhhhlhlFlmFFGGFWGEUYYVYYRZYRRZhhRhhhlhhFliFFmGFGGGGWGEWWYUWYUA6',
    relativeError: 0.491682,
  },
  MXFP4: {
    codes:
      'fH7AVv6SZ+wUf9o1/rBW7ZN8Rv6iZ+wUb9o1frBW/ZJn7HyhZ+0Eb9s1fsBW/ZJn7BR/fO0Eb9s1fsBW/pJn7BR/2jV8b9slfslG/qJn7BRv2jV+sHwlf8lG/qFn7QRv2zV+wFb9fMlG/qFX7QRv2zV+wFb+kmd8/qFX7QNv2yV+yUb+omfsFA==',
    relativeError: 0.103891,
  },
  NVFP4: {
    codes:
      'HyAgIP+pZu4Cd900d9w1/7lW7pFW7gJn3CR/yjR/ulb+kWbtICAgIAFn3SR/y0X+ylb+kGbtE3ftJH/LRf6gVv6QZu0Td9w1ICAgIH/LRf6pVu4CZu0SZ9w0f7pF/7lW7gFn3QJn3DR/ylb+ICAgILlW7gFn7SR/3DR/ylX+kGbukWftI3/LRX/KRf6gZu0S',
    relativeError: 0.104336,
  },
  Q1_0: {
    codes: 'Sja0tKUlLW1pS0ta2tKSlra0TjakpS1taUlLW1rS0paWtLSl',
    relativeError: 0.501608,
  },
  Q2_0: {
    codes: 'QDokWSRJFkkWRZJFkmSRZFkkIDpZJEkWSZJFkkWSZJEkWSRZQDoUSRZJkkWSZZFkkSRZJEkWQDpJFkmSRZJkkWRRJFkkSRZJ',
    relativeError: 0.487858,
  },
};
